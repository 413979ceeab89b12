"""The quadratic model of outputs that the loss or the penalty couples, made smaller without its whole matrix."""
