// Where the elements of lines are found in ascending or descending order, by radix: many are divided by
// their highest digit, until what is left stays near; that is sorted from the lowest digit on. Equal
// elements keep their order; what is no number is larger than all.
#include <atomic>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "csrc/native/loops.h"
#include "csrc/native/scratch.h"

namespace {  // each level has its own, whether inlined or not

#include "csrc/native/loops/narrow.h"

// Unsigned numbers in the order of an element's.
inline uint32_t key_of(float x) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x + 0.0f);  // of the two zeros one
    const uint32_t key = bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
    return x != x ? 0xffffffffu : key;
}
inline uint64_t key_of(double x) {
    const uint64_t bits = __builtin_bit_cast(uint64_t, x + 0.0);
    const uint64_t key = bits >> 63 != 0 ? ~bits : bits | uint64_t(1) << 63;
    return x != x ? ~uint64_t(0) : key;
}
inline uint32_t key_of(Half x) { return key_of(widened(x)); }
inline uint32_t key_of(Brain x) { return key_of(widened(x)); }
inline uint32_t key_of(int32_t x) { return uint32_t(x) ^ 0x80000000u; }
inline uint64_t key_of(int64_t x) { return uint64_t(x) ^ uint64_t(1) << 63; }
inline uint32_t key_of(uint8_t x) { return x; }

inline int bits_of(uint64_t x) { return x == 0 ? 0 : 64 - __builtin_clzll(x); }

// 32 bits of a key, and the place where it lay: numbers in the order of both.
using Item = uint64_t;
inline uint32_t key_of_item(Item item) { return uint32_t(item >> 32); }
inline uint32_t place_of(Item item) { return uint32_t(item); }

constexpr int64_t few = 24;        // are sorted one by one
constexpr int64_t near = 1 << 14;  // lie in a cache, with room for as many
constexpr int digit = 8, digits = 4;
constexpr uint32_t buckets = 1 << digit;

inline uint32_t bucket_of(Item item, int shift) {
    return key_of_item(item) >> shift & (buckets - 1);
}

// Where each bucket begins, of how many are in it.
inline void begin_buckets(uint32_t (&counts)[buckets]) {
    uint32_t total = 0;
    for (uint32_t& count : counts) {
        const uint32_t size = count;
        count = total;
        total += size;
    }
}

// Elements of S, a step apart, whose sorted places come to lie a step apart, too.
template <class S>
struct Line {
    using Key = decltype(key_of(S()));
    const S* x;
    int64_t* places;
    int64_t step;
    Key flipped;  // all bits, where the largest come first

    Key key(int64_t i) const { return key_of(x[i * step]) ^ flipped; }

    void sort(Item* items, Item* other, int64_t count) const {
        const Key first = key(0);
        Key all = 0;
        for (int64_t i = 0; i < count; ++i) {
            all |= key(i) ^ first;
        }
        const int bits = bits_of(all), shift = bits > 32 ? bits - 32 : 0;
        for (int64_t i = 0; i < count; ++i) {
            items[i] = Item(uint32_t(key(i) >> shift)) << 32 | Item(i);
        }
        sort(items, other, 0, count, bits - shift, shift);
    }

    // So many items, which come to lie at ``start``. Of their keys the last ``bits`` differ; ``left``
    // bits of the elements' are not in them. ``other`` has room for the items.
    void sort(Item* items, Item* other, int64_t start, int64_t count, int bits, int left) const {
        if (count <= few) {
            insert(items, start, count, left);
        } else if (count > near && bits > 0) {
            const int shift = bits > digit ? bits - digit : 0;
            uint32_t ends[buckets] = {};
            for (int64_t i = 0; i < count; ++i) {
                ++ends[bucket_of(items[i], shift)];
            }
            begin_buckets(ends);
            for (int64_t i = 0; i < count; ++i) {
                Item* to = other + ends[bucket_of(items[i], shift)]++;
                *to = items[i];
                __builtin_prefetch(to + 12, 1);  // as a processor foresees few places at a time
            }
            int64_t begin = 0;
            for (const uint32_t end : ends) {
                sort(other + begin, items + begin, start + begin, end - begin, shift, left);
                begin = end;
            }
        } else {
            uint32_t ends[digits][buckets] = {};
            for (int64_t i = 0; i < count; ++i) {
                for (int d = 0; d < digits; ++d) {
                    ++ends[d][bucket_of(items[i], d * digit)];
                }
            }
            for (int d = 0; d * digit < bits; ++d) {
                begin_buckets(ends[d]);
                for (int64_t i = 0; i < count; ++i) {
                    other[ends[d][bucket_of(items[i], d * digit)]++] = items[i];
                }
                Item* sorted = other;
                other = items;
                items = sorted;
            }
            finish(items, other, start, count, left);
        }
    }

    // Sorted items, of which those of equal keys may not be, for the sake of what is left.
    void finish(Item* items, Item* other, int64_t start, int64_t count, int left) const {
        if (left == 0) {
            write(items, start, count);
            return;
        }
        for (int64_t i = 0, end; i < count; i = end) {
            for (end = i + 1; end < count && key_of_item(items[end]) == key_of_item(items[i]);) {
                ++end;
            }
            if (end - i > few) {
                for (int64_t j = i; j < end; ++j) {
                    const Key rest = key(place_of(items[j])) & ((Key(1) << left) - 1);
                    items[j] = Item(uint32_t(rest)) << 32 | place_of(items[j]);
                }
                sort(items + i, other + i, start + i, end - i, left, 0);
            } else {
                insert(items + i, start + i, end - i, left);
            }
        }
    }

    bool is_behind(Item a, Item b, int left) const {
        if (left > 0 && key_of_item(a) == key_of_item(b)) {
            const Key its = key(place_of(a)), others = key(place_of(b));
            return its != others ? its > others : a > b;
        }
        return a > b;
    }

    void insert(Item* items, int64_t start, int64_t count, int left) const {
        for (int64_t i = 1; i < count; ++i) {
            const Item item = items[i];
            int64_t j = i;
            for (; j > 0 && is_behind(items[j - 1], item, left); --j) {
                items[j] = items[j - 1];
            }
            items[j] = item;
        }
        write(items, start, count);
    }

    void write(const Item* items, int64_t start, int64_t count) const {
        for (int64_t i = 0; i < count; ++i) {
            places[(start + i) * step] = place_of(items[i]);
        }
    }
};

// Of lines begin..end. Numbers are how long they are, how many elements lie between those of a line, and
// whether the largest come first; arrays[2] tells that there was no memory.
template <class S>
void order(void* const* arrays, const double* numbers, int64_t begin, int64_t end) {
    const int64_t count = int64_t(numbers[0]), step = int64_t(numbers[1]);
    const Scratch scratch(2 * count * int64_t(sizeof(Item) / sizeof(float)));
    if (scratch.memory == nullptr) {
        *static_cast<std::atomic<bool>*>(arrays[2]) = true;
        return;
    }
    Item* items = reinterpret_cast<Item*>(scratch.memory);
    using Key = typename Line<S>::Key;
    for (int64_t i = begin; i < end; ++i) {
        const int64_t start = i / step * step * count + i % step;
        const Line<S> line{static_cast<const S*>(arrays[1]) + start,
                           static_cast<int64_t*>(arrays[0]) + start, step,
                           numbers[2] != 0 ? Key(~Key(0)) : Key(0)};
        line.sort(items, items + count, count);
    }
}

constexpr Loops all() {
    Loops found{};
    // In the order of the sources in doors/sort.cpp.
    found.each[found.count++] = {"order",       3,           3, order<float>, order<double>, nullptr,
                                 order<Half>, order<Brain>};
    found.each[found.count++] = {"order", 3,      3, order<int32_t>, order<int64_t>, nullptr,
                                 nullptr, order<uint8_t>};
    return found;
}

}  // namespace

extern const Loops OF_LEVEL(sort);
const Loops OF_LEVEL(sort) = all();
