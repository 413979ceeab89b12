"""The paper's tables and ablations as one command each: `convexsnn bench paper`, `convexsnn bench ablation`."""
