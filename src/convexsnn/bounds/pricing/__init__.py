"""The best pattern for a dual vector, over all neurons of a family, by branch and bound in exact arithmetic."""
