"""The solver for the elastic penalty: Newton's method on the dual, and how its systems are solved."""
