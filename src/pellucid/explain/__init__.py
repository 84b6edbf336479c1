"""What in a network a photo excites, what else does, and why: photos, units and classes explained."""
