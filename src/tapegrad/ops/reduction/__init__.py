"""Sums, extremes, statistics, sorting: what makes few numbers of many."""
