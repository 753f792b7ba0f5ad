// Sums along rows, and their largest numbers, in parts side by side. Sums are of short blocks, whose
// totals are added up in double: no less exact than NumPy's pairwise sums. Included within a namespace.

constexpr int lanes = 32;
constexpr int64_t block = 16 * lanes;

// What a combination of two makes of all parts.
template <class A, int count, class Combine>
inline A over_all(A (&parts)[count], Combine combine) {
    for (int half = count / 2; half > 0; half /= 2) {
        for (int j = 0; j < half; ++j) {
            parts[j] = combine(parts[j], parts[j + half]);
        }
    }
    return parts[0];
}

// The sum of term(i) from i on, as far as there are so many side by side before the end.
template <int side_by_side, class Term>
inline auto partial_sum(int64_t& i, int64_t end, Term term) {
    using A = decltype(term(i));
    A parts[side_by_side] = {};
    for (; i + side_by_side <= end; i += side_by_side) {
        for (int j = 0; j < side_by_side; ++j) {
            parts[j] += term(i + j);
        }
    }
    return over_all(parts, [](A a, A b) { return a + b; });
}

// The sum of term(i) for i below count, of floats or doubles.
template <class Term>
inline double sum_of(int64_t count, Term term) {
    double total = 0;
    int64_t i = 0;
    while (i + lanes <= count) {
        total += partial_sum<lanes>(i, count - i < block ? count : i + block, term);
    }
    if (i + 8 <= count) {
        total += partial_sum<8>(i, count, term);
    }
    for (; i < count; ++i) {
        total += term(i);
    }
    return total;
}

inline float larger(float a, float b) { return a > b ? a : b; }

template <int side_by_side>
inline float largest_in(const float* x, int64_t count) {
    float parts[side_by_side];
    for (int j = 0; j < side_by_side; ++j) {
        parts[j] = x[j];
    }
    for (int64_t i = side_by_side; i < count; i += side_by_side) {
        const int64_t from = i + side_by_side <= count ? i : count - side_by_side;
        for (int j = 0; j < side_by_side; ++j) {
            parts[j] = larger(x[from + j], parts[j]);
        }
    }
    return over_all(parts, larger);
}

// A NaN is of no interest: it comes out of the sum.
inline float largest_of(const float* x, int64_t count) {
    if (count >= 8) {
        return count >= lanes ? largest_in<lanes>(x, count) : largest_in<8>(x, count);
    }
    float largest = -INFINITY;
    for (int64_t i = 0; i < count; ++i) {
        largest = larger(x[i], largest);
    }
    return largest;
}

// work(i) for every i below count, side by side: for some of the last ones twice, which must do no harm.
template <class Work>
inline void for_each(int64_t count, Work work) {
    const auto by = [=](auto side_by_side) {
        for (int64_t i = 0; i < count; i += side_by_side) {
            const int64_t from = i + side_by_side <= count ? i : count - side_by_side;
            for (int j = 0; j < side_by_side; ++j) {
                work(from + j);
            }
        }
    };
    if (count >= 16) {
        by(std::integral_constant<int, 16>());
    } else if (count >= 8) {
        by(std::integral_constant<int, 8>());
    } else {
        by(std::integral_constant<int, 1>());
    }
}
