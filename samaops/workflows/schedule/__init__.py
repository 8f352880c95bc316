"""What runs by itself: the jobs, the ledger of their runs, who begins them, and what people ask and say about them."""
