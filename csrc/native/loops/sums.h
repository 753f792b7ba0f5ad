// Sums along rows, in parts side by side, of short blocks whose totals are added up in double: no less
// exact than NumPy's pairwise sums. Included within a namespace.

constexpr int lanes = 32;
constexpr int64_t block = 16 * lanes;

// What a combination of two makes of all lanes.
template <class A, class Combine>
inline A over_lanes(A* parts, Combine combine) {
    for (int half = lanes / 2; half > 0; half /= 2) {
        for (int j = 0; j < half; ++j) {
            parts[j] = combine(parts[j], parts[j + half]);
        }
    }
    return parts[0];
}

// The sum of term(i) for i below count, of floats or doubles.
template <class Term>
inline double sum_of(int64_t count, Term term) {
    using A = decltype(term(count));
    double total = 0;
    int64_t i = 0;
    while (i + lanes <= count) {
        const int64_t end = count - i < block ? count : i + block;
        A parts[lanes] = {};
        for (; i + lanes <= end; i += lanes) {
            for (int j = 0; j < lanes; ++j) {
                parts[j] += term(i + j);
            }
        }
        total += over_lanes(parts, [](A a, A b) { return a + b; });
    }
    for (; i < count; ++i) {
        total += term(i);
    }
    return total;
}
