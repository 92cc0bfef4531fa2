"""Writers, which write prescriptions into the pharmacy system."""
