"""The ways out: what is heard, told to MQTT brokers, web services, OSC, MIDI and commands of this machine."""
