"""Writers: how a prescription gets into the pharmacy system."""
