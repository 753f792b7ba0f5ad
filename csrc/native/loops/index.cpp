// Reading, writing and adding at positions that index arrays name.
#include <cstdint>
#include <cstring>

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

bool find_positions(const Positions& of, void* const* index, const int64_t* offsets, int64_t i,
                    int64_t count, int64_t* positions) {
    const auto find = [&](int k, int64_t start, int64_t* found, const int64_t* base, int64_t some) {
        return of.narrow[k]
                   ? find_places(found, base, static_cast<const int32_t*>(index[k]) + start, some,
                                 of.sizes[k], of.steps[k])
                   : find_places(found, base, static_cast<const int64_t*>(index[k]) + start, some,
                                 of.sizes[k], of.steps[k]);
    };
    int64_t bad = 0, base = 0;
    for (int k = 0; k < of.arrays; ++k) {
        if (of.spread.repeated[k]) {
            bad |= find(k, offsets[k], &base, nullptr, 1);
        }
    }
    const int64_t* start = &base;
    for (int k = 0; k < of.arrays; ++k) {
        if (!of.spread.repeated[k]) {
            bad |= find(k, offsets[k] + i, positions, start, count);
            start = nullptr;
        }
    }
    for (int64_t j = 0; start != nullptr && j < count; ++j) {  // all of them repeated
        positions[j] = base;
    }
    return bad >= 0;
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

// The smallest and the largest of each piece of so many numbers, where pieces are as long as the number
// says.
template <class T>
void find_ends(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const T* x = static_cast<const T*>(arrays[1]);
    const int64_t length = int64_t(numbers[0]);
    for (int64_t i = begin; i < end; i += length) {
        const int64_t stop = end - i < length ? end : i + length;
        T least = x[i], most = x[i];
        for (int64_t j = i; j < stop; ++j) {
            least = x[j] < least ? x[j] : least;
            most = x[j] > most ? x[j] : most;
        }
        int64_t* found = static_cast<int64_t*>(arrays[0]) + i / length * 2;
        found[0] = least;
        found[1] = most;
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
