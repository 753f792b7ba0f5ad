"""``torch.nn.common_types``: names for annotations of sizes, one number or one a dimension."""

_sizes = int | tuple[int, ...]
_size_any_t = _size_1_t = _size_2_t = _size_3_t = _size_4_t = _size_5_t = _size_6_t = _sizes
_ratio_any_t = _ratio_2_t = _ratio_3_t = float | tuple[float, ...]
