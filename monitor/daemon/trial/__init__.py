"""Trial configurations: in force for a while, and gone again unless somebody confirms them."""
