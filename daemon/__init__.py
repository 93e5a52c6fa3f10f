"""The coordinating side: it plans, assigns, supervises and merges, and computes nothing itself."""
