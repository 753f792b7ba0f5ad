#include "banks.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "../scheduler.h"
#include "report.h"

namespace emulate {
namespace check {

bool counts_banks = false;

namespace {

constexpr int banks = 32, bank_bytes = 4;

// Lanes run one after another: their n-th accesses at a site are one of the warp.
struct BankAccess {
    SiteOffset site;
    int thread;
    uint32_t turn;
    uintptr_t address;
    size_t bytes;

    auto request() const { return std::make_tuple(site, thread / lanes_per_warp, turn); }
};

struct Count {
    uint64_t requests = 0, passes = 0, least = 0;
};

std::vector<BankAccess> accesses;
std::map<std::pair<SiteOffset, int>, uint32_t> turns;
std::map<SiteOffset, Count> counts;

// Lanes whose bytes fill the banks once are served together: all 32 of 4 bytes, 16 of 8, 8 of 16.
template <class Iterator>
void count(Iterator begin, Iterator end) {
    const int together = std::max(1, std::min(lanes_per_warp, banks * bank_bytes / int(begin->bytes)));
    Count& found = counts[begin->site];
    ++found.requests;
    while (begin != end) {
        const int part = begin->thread % lanes_per_warp / together;
        std::set<uintptr_t> words[banks];
        for (; begin != end && begin->thread % lanes_per_warp / together == part; ++begin) {
            for (size_t i = 0; i < begin->bytes; i += bank_bytes) {
                const uintptr_t word = (begin->address + i) / bank_bytes;
                words[word % banks].insert(word);
            }
        }
        size_t passes = 1;
        for (const auto& bank : words) {
            passes = std::max(passes, bank.size());
        }
        found.passes += passes;
        found.least += 1;
    }
}

}  // namespace

void count_bank_conflicts(bool wanted) {
    counts_banks = wanted;
    counts.clear();
}

void note_bank_access(uintptr_t address, size_t bytes, SiteOffset site) {
    leave_kernel();
    accesses.push_back({site, order.thread, turns[{site, order.thread}]++, address, bytes});
    return_to_kernel();
}

void add_up_banks() {
    std::sort(accesses.begin(), accesses.end(), [](const BankAccess& a, const BankAccess& b) {
        return std::make_tuple(a.request(), a.thread) < std::make_tuple(b.request(), b.thread);
    });
    for (auto begin = accesses.begin(); begin != accesses.end();) {
        const auto end = std::find_if(begin, accesses.end(), [&](const BankAccess& a) {
            return a.request() != begin->request();
        });
        count(begin, end);
        begin = end;
    }
    accesses.clear();
    turns.clear();
}

std::vector<BankConflicts> bank_conflicts() {
    std::vector<SiteOffset> sites;
    for (const auto& item : counts) {
        sites.push_back(item.first);
    }
    const std::vector<std::string> places = places_in_source(sites);
    std::map<std::string, BankConflicts> lines;
    for (size_t i = 0; i < sites.size(); ++i) {
        const Count& count = counts[sites[i]];
        BankConflicts& line = lines[places[i]];
        line.place = places[i];
        line.requests += count.requests;
        line.passes += count.passes;
        line.passes_without_conflict += count.least;
    }
    std::vector<BankConflicts> result;
    for (const auto& item : lines) {
        result.push_back(item.second);
    }
    return result;
}

}  // namespace check
}  // namespace emulate
