"""What would repair each finding, as text for the operator: nothing here is ever applied."""
