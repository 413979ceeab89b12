"""The hinge loss: linear and second-order cone programs, by interior point methods and by the simplex method."""
