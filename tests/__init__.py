"""Tests: one file a block. They make their own sound; ../shared/data is used only where it is beside the checkout."""
