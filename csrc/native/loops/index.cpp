// Reading, writing and adding at positions that index arrays name.
#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "csrc/native/loops.h"
#include "csrc/native/positions.h"

namespace {  // each level has its own, whether inlined or not

constexpr int64_t at_once = 256;  // positions

// What happens between an element of the array and one of the values.
template <class T>
struct Read {
    static void each(T* __restrict x, T* __restrict value) { *value = *x; }
    static void run(T* __restrict x, T* __restrict values, int64_t count) {
        std::memcpy(values, x, size_t(count) * sizeof(T));
    }
};
template <class T>
struct Write {
    static void each(T* __restrict x, T* __restrict value) { *x = *value; }
    static void run(T* __restrict x, T* __restrict values, int64_t count) {
        std::memcpy(x, values, size_t(count) * sizeof(T));
    }
};
template <class T>
struct Add {
    static void each(T* __restrict x, T* __restrict value) { *x += *value; }
    static void run(T* __restrict x, T* __restrict values, int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
            x[i] += values[i];
        }
    }
};
// Positions from the places that an index array names, beyond ``base``, or (null) beyond what they are;
// negative where a place is none.
template <class Index>
int64_t find_places(int64_t* __restrict positions, const int64_t* base, const Index* __restrict index,
                    int64_t count, int64_t size, int64_t step) {
    int64_t bad = 0;
    const auto place_of = [&](int64_t j) {
        int64_t place = int64_t(index[j]);
        place += place < 0 ? size : 0;
        bad |= place | (size - 1 - place);
        return place;
    };
    if (base != nullptr && step == 1) {  // (to multiply wide integers takes long)
        const int64_t start = *base;
        for (int64_t j = 0; j < count; ++j) {
            positions[j] = start + place_of(j);
        }
    } else if (base != nullptr) {
        const int64_t start = *base;
        for (int64_t j = 0; j < count; ++j) {
            positions[j] = start + place_of(j) * step;
        }
    } else {
        for (int64_t j = 0; j < count; ++j) {
            positions[j] += place_of(j) * step;
        }
    }
    return bad;
}

// Places start.. of the k-th index array.
int64_t find_in(const Positions& of, void* const* index, int k, int64_t start, int64_t* found,
                const int64_t* base, int64_t count) {
    return of.narrow[k]
               ? find_places(found, base, static_cast<const int32_t*>(index[k]) + start, count,
                             of.sizes[k], of.steps[k])
               : find_places(found, base, static_cast<const int64_t*>(index[k]) + start, count,
                             of.sizes[k], of.steps[k]);
}

// Adds what the index arrays name that are repeated. False where a place is none.
bool find_base(const Positions& of, void* const* index, const int64_t* offsets, int64_t& base) {
    int64_t bad = 0;
    for (int k = 0; k < of.arrays; ++k) {
        if (of.spread.repeated[k]) {
            bad |= find_in(of, index, k, offsets[k], &base, nullptr, 1);
        }
    }
    return bad >= 0;
}

bool find_positions(const Positions& of, void* const* index, const int64_t* offsets, int64_t i,
                    int64_t count, int64_t* positions) {
    int64_t base = 0, bad = 0;
    if (!find_base(of, index, offsets, base)) {
        return false;
    }
    const int64_t* start = &base;
    for (int k = 0; k < of.arrays; ++k) {
        if (!of.spread.repeated[k]) {
            bad |= find_in(of, index, k, offsets[k] + i, positions, start, count);
            start = nullptr;
        }
    }
    for (int64_t j = 0; start != nullptr && j < count; ++j) {  // all of them repeated
        positions[j] = base;
    }
    return bad >= 0;
}

// What a single index array names, beyond ``x``: not by way of positions, which take as long to write
// and read as the numbers. Returns how many are done, up to the first that is no place counted from the
// beginning of the dimension. (A branch that is never taken; to look at them all before, as vectors,
// took longer.)
template <class Access, class T, class Index>
int64_t each_named(T* x, T* values, const Index* index, int64_t count, int64_t size, int64_t step) {
    int64_t j = 0;
    if (step == 1) {
#pragma GCC unroll 4
        for (; j < count && uint64_t(index[j]) < uint64_t(size); ++j) {
            Access::each(x + index[j], values + j);
        }
    } else {
#pragma GCC unroll 4
        for (; j < count && uint64_t(index[j]) < uint64_t(size); ++j) {
            Access::each(x + index[j] * step, values + j);
        }
    }
    return j;
}

// From ``from`` to ``to`` of the positions of a row, and of what lies behind each.
template <class T, class Access>
void visit(Positions& of, void* const* arrays, int64_t lead, int64_t row, int64_t from, int64_t to,
           int64_t rest_from, int64_t rest_to) {
    int64_t offsets[max_inputs] = {}, left = row;
    for (int d = of.spread.dims - 1; d >= 0; --d) {
        const int64_t i = left % of.spread.sizes[d];
        left /= of.spread.sizes[d];
        for (int k = 0; k < of.arrays; ++k) {
            offsets[k] += i * of.spread.steps[k][d];
        }
    }
    T* x = static_cast<T*>(arrays[0]) + lead * of.block;
    T* values = static_cast<T*>(arrays[1]) +
                (lead * of.spread.rows + row) * of.spread.length * of.rest;
    int only = -1, named = 0;  // the index array that is not repeated, if it is the only one
    for (int k = 0; k < of.arrays; ++k) {
        only = of.spread.repeated[k] ? only : k;
        named += !of.spread.repeated[k];
    }
    int64_t base = 0;
    const bool direct = of.rest == 1 && named == 1 && find_base(of, arrays + 3, offsets, base);
    if (direct) {
        const int64_t start = offsets[only] + from, size = of.sizes[only], step = of.steps[only];
        const void* index = arrays[3 + only];
        from += of.narrow[only]
                    ? each_named<Access>(x + base, values + from,
                                         static_cast<const int32_t*>(index) + start, to - from, size, step)
                    : each_named<Access>(x + base, values + from,
                                         static_cast<const int64_t*>(index) + start, to - from, size, step);
    }
    int64_t positions[at_once];
    for (int64_t i = from; i < to; i += at_once) {
        const int64_t count = to - i < at_once ? to - i : at_once;
        if (!find_positions(of, arrays + 3, offsets, i, count, positions)) {
            of.outside = true;
            return;
        }
        T* next = values + i * of.rest;
        if (of.rest == 1) {
            for (int64_t j = 0; j < count; ++j) {
                Access::each(x + positions[j], next + j);
            }
        } else {
            for (int64_t j = 0; j < count; ++j) {
                Access::run(x + positions[j] + rest_from, next + j * of.rest + rest_from,
                            rest_to - rest_from);
            }
        }
    }
}

// arrays are x, the values, the positions, and the index arrays; the number is the Share.
template <class T, class Access>
void at_positions(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    Positions& of = *static_cast<Positions*>(arrays[2]);
    const Share share = Share(int(numbers[0]));
    const int64_t rows = of.spread.rows, length = of.spread.length;
    if (share == Share::positions) {
        visit<T, Access>(of, arrays, 0, 0, begin, end, 0, of.rest);
    } else if (share == Share::rows) {
        for (int64_t i = begin; i < end; ++i) {
            visit<T, Access>(of, arrays, i / rows, i % rows, 0, length, 0, of.rest);
        }
    } else if (share == Share::columns) {
        for (int64_t row = 0; row < rows; ++row) {
            visit<T, Access>(of, arrays, 0, row, begin, end, 0, of.rest);
        }
    } else {
        const bool by_lead = share == Share::leads;
        for (int64_t lead = by_lead ? begin : 0; lead < (by_lead ? end : of.leads); ++lead) {
            for (int64_t row = 0; row < rows; ++row) {
                visit<T, Access>(of, arrays, lead, row, 0, length, by_lead ? 0 : begin,
                                 by_lead ? of.rest : end);
            }
        }
    }
}

template <class T>
struct Ends {
    T least, most;
    explicit Ends(T x) : least(x), most(x) {}
    void look(T x) {
        least = x < least ? x : least;
        most = x > most ? x : most;
    }
};

// The smallest and the largest of each piece of so many numbers, where pieces are as long as the number
// says.
template <class T>
void find_ends(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const T* x = static_cast<const T*>(arrays[1]);
    const int64_t length = int64_t(numbers[0]);
    for (int64_t i = begin; i < end; i += length) {
        const int64_t stop = end - i < length ? end : i + length;
        // Of four parts side by side, as each waits for its last choice.
        const int64_t quarter = (stop - i) / 4;
        const T *first = x + i, *second = first + quarter, *third = second + quarter;
        const T* fourth = third + quarter;
        Ends<T> of_first(*first), of_second(*first), of_third(*first), all(*first);
        for (int64_t j = 0; j < quarter; ++j) {
            of_first.look(first[j]);
            of_second.look(second[j]);
            of_third.look(third[j]);
            all.look(fourth[j]);
        }
        for (int64_t j = i + 4 * quarter; j < stop; ++j) {
            all.look(x[j]);
        }
        for (const Ends<T>& some : {of_first, of_second, of_third}) {
            all.look(some.least);
            all.look(some.most);
        }
        int64_t* found = static_cast<int64_t*>(arrays[0]) + i / length * 2;
        found[0] = all.least;
        found[1] = all.most;
    }
}

template <class T>
constexpr Loop read = at_positions<T, Read<T>>;
template <class T>
constexpr Loop write = at_positions<T, Write<T>>;
template <class T>
constexpr Loop add_up = at_positions<T, Add<T>>;

constexpr Loops all() {
    Loops found{};
    // Of numbers of any kind that have 4, 8, 2 or 1 bytes.
    const auto add = [&](const char* name, const char* keyword, Loop of_4, Loop of_8, Loop of_2,
                         Loop of_1) {
        found.each[found.count++] = {name, 3, 1, of_4, of_8, keyword, of_2, of_1};
    };
    const auto write_at = [&](const char* name, const char* keyword) {
        add(name, keyword, write<uint32_t>, write<uint64_t>, write<uint16_t>, write<uint8_t>);
    };
    // Of float32, float64, int32 and int64.
    const auto add_up_at = [&](const char* name, const char* keyword) {
        add(name, keyword, add_up<float>, add_up<double>, add_up<int32_t>, add_up<int64_t>);
    };
    add("getitem", "index", read<uint32_t>, read<uint64_t>, read<uint16_t>, read<uint8_t>);
    write_at("store", nullptr);
    write_at("index_put", "index");
    add_up_at("add_at", nullptr);
    add_up_at("index_add_at", "index");
    add_up_at("getitem_backward", "index");
    found.each[found.count++] = {"least_and_most",   2,      1, find_ends<int32_t>,
                                 find_ends<int64_t>, nullptr};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(index);
const Loops OF_LEVEL(index) = all();
