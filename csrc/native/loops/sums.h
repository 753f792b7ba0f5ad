// Sums along rows, and their largest numbers, in parts side by side. Sums are of short blocks, whose
// totals are added up in double: no less exact than NumPy's pairwise sums. Included within a namespace.

constexpr int lanes = 32;
constexpr int64_t block = 16 * lanes;

// What a combination of two makes of all parts.
template <class A, int count, class Combine>
inline A over_all(A (&parts)[count], Combine combine) {
    if constexpr (count == 1) {
        return parts[0];
    } else {
        A halves[count / 2];
        for (int j = 0; j < count / 2; ++j) {
            halves[j] = combine(parts[j], parts[j + count / 2]);
        }
        return over_all(halves, combine);
    }
}

struct Sums {
    double first, second;
};

// Adds first(i) and second(i) for begin <= i < end, so many side by side.
template <int side_by_side, class First, class Second>
inline void add_up(int64_t begin, int64_t end, First first, Second second, Sums& sums) {
    using A = decltype(first(begin));
    A firsts[side_by_side] = {}, seconds[side_by_side] = {};
    for (int64_t i = begin; i < end; i += side_by_side) {
        for (int j = 0; j < side_by_side; ++j) {
            firsts[j] += first(i + j);
            seconds[j] += second(i + j);
        }
    }
    const auto plus = [](A a, A b) { return a + b; };
    sums.first += over_all(firsts, plus);
    sums.second += over_all(seconds, plus);
}

// The sums of first(i) and second(i) for i below count, of floats or doubles.
template <class First, class Second>
inline Sums sums_of(int64_t count, First first, Second second) {
    Sums sums{};
    const int64_t of_lanes = count / lanes * lanes, of_8 = count / 8 * 8;
    for (int64_t i = 0; i < of_lanes; i += block) {
        add_up<lanes>(i, of_lanes - i < block ? of_lanes : i + block, first, second, sums);
    }
    if (of_lanes < of_8) {
        add_up<8>(of_lanes, of_8, first, second, sums);
    }
    for (int64_t i = of_8; i < count; ++i) {
        sums.first += first(i);
        sums.second += second(i);
    }
    return sums;
}

template <class Term>
inline double sum_of(int64_t count, Term term) {
    return sums_of(count, term, [](int64_t) { return decltype(term(count))(0); }).first;
}

inline float larger(float a, float b) { return a > b ? a : b; }

template <int side_by_side>
inline float largest_in(const float* x, int64_t count) {
    float parts[side_by_side];
    const float* last = x + count - side_by_side;
    for (int j = 0; j < side_by_side; ++j) {
        parts[j] = last[j];
    }
    for (int64_t i = 0; i + side_by_side <= count; i += side_by_side) {
        for (int j = 0; j < side_by_side; ++j) {
            parts[j] = larger(x[i + j], parts[j]);
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
    constexpr int64_t many = 16, some = 8;
    const int64_t whole = count < some ? 0 : count < many ? some : count / many * many;
    for (int64_t i = 0; i < whole; ++i) {
        work(i);
    }
    if (whole >= many && whole < count) {
        for (int64_t i = count - many; i < count; ++i) {
            work(i);
        }
    } else if (whole == some) {
        for (int64_t i = count - some; i < count; ++i) {
            work(i);
        }
    } else {
        for (int64_t i = whole; i < count; ++i) {
            work(i);
        }
    }
}
