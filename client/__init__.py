"""What talks to the service: the dashboard in `web/` and a small asyncio client."""
