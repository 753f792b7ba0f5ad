#include "report.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "../scheduler.h"

namespace emulate {
namespace check {

namespace {

constexpr size_t most_reports = 10;  // of one launch

struct Report {
    std::string place;  // in memory
    std::vector<std::string> lines;  // where "%" stands for the next site
    std::vector<SiteOffset> sites;
    std::string advice;
    bool is_race;
};

struct ClusterStart {
    Stamp stamp;
    uint3 first_block;
};

struct Suspicion {
    uintptr_t address;
    Access earlier, later;
    std::string place;
};

std::vector<Report> reports;
std::vector<Suspicion> suspicions;
std::set<SiteOffset> confirmed;
bool once = false;
std::set<std::tuple<SiteOffset, SiteOffset, bool>> reported;
std::vector<ClusterStart> clusters;
size_t left_out = 0;

std::string text_of(const uint3& v) {
    return "(" + std::to_string(v.x) + ", " + std::to_string(v.y) + ", " + std::to_string(v.z) + ")";
}

std::string who(int thread, Stamp stamp) {
    const auto after = std::upper_bound(clusters.begin(), clusters.end(), stamp,
                                        [](Stamp s, const ClusterStart& c) { return s < c.stamp; });
    uint3 block = after[-1].first_block;
    block.x += unsigned(order.rank_of(thread));
    return "block " + text_of(block) + ", " + name_of_thread(thread);
}

std::string who_runs() { return who(order.thread, order.now); }

bool is_known(SiteOffset a, SiteOffset b, bool race) {
    return reported.count({std::min(a, b), std::max(a, b), race}) != 0;
}

bool is_new(SiteOffset a, SiteOffset b, bool race) {
    if (!reported.insert({std::min(a, b), std::max(a, b), race}).second) {
        return false;
    }
    left_out += reports.size() >= most_reports;
    return reports.size() < most_reports;
}

std::string verb(const Access& access, bool past) {
    if (access.is_atomic) {
        return past ? "changed it atomically" : "changes it atomically";
    }
    return access.writes ? (past ? "wrote it" : "writes it") : (past ? "read it" : "reads it");
}

std::string advice_on(const Access& a, const Access& b) {
    if (a.is_atomic != b.is_atomic) {
        return "an atomic operation orders nothing with plain accesses: make both atomic, or put a "
               "barrier between them";
    }
    if (a.is_atomic) {
        return "what is atomic in its block is not for other blocks: leave out _block, or take "
               "thread_scope_device";
    }
    if (a.stamp < order.block_start) {
        return "blocks run in no order: only atomic operations may meet, or __threadfence() and an "
               "atomic operation must come between";
    }
    if (order.rank_of(a.thread) != order.rank_of(b.thread)) {
        return "in no order: no barrier of the cluster and no mbarrier comes between";
    }
    const bool same_warp = a.thread / lanes_per_warp == b.thread / lanes_per_warp;
    return std::string("in no order: ") + (same_warp ? "no __syncwarp(), " : "no ") +
           "__syncthreads() or atomic operation comes between";
}

std::string text_of(const std::vector<Report>& all) {
    std::vector<SiteOffset> sites;
    for (const Report& report : all) {
        sites.insert(sites.end(), report.sites.begin(), report.sites.end());
    }
    const std::vector<std::string> places = places_in_source(sites);
    auto place = places.begin();
    std::string text = description_of_launch() + ":";
    for (const Report& report : all) {
        text += (all.size() == 1 ? " " : "\n- ") + report.place;
        for (const std::string& line : report.lines) {
            text += "\n    " + line + " at " + *place++;
        }
        text += report.advice.empty() ? "" : "\n    " + report.advice;
    }
    if (left_out > 0) {
        text += "\n- and " + std::to_string(left_out) + " more";
    }
    return text;
}

void note_race(const std::string& place, const Access& earlier, const Access& later) {
    if (earlier.is_atomic && confirmed.count(later.site) != 0) {
        return;
    }
    if (is_new(earlier.site, later.site, true)) {
        reports.push_back({"race on " + place,
                           {who(later.thread, later.stamp) + " " + verb(later, false),
                            who(earlier.thread, earlier.stamp) + " " + verb(earlier, true)},
                           {later.site, earlier.site},
                           advice_on(earlier, later),
                           true});
    }
}

constexpr size_t most_suspicions = 1000;

bool is_of_this_thread(const Suspicion& s) {
    return s.later.thread == order.thread && s.later.stamp >= order.block_start;
}

// What was not confirmed until now never will be.
void settle_all_suspicions() {
    for (const Suspicion& s : suspicions) {
        note_race(s.place, s.earlier, s.later);
    }
    suspicions.clear();
}

template <class Error>
[[noreturn]] void stop(Report report) {
    settle_all_suspicions();
    reports.insert(reports.begin(), std::move(report));
    end_block_with(std::make_exception_ptr(Error(text_of(std::exchange(reports, {})))));
}

}  // namespace

void begin_reports_of_launch() {
    reports.clear();
    suspicions.clear();
    if (!once) {
        reported.clear();
    }
    clusters.clear();
    left_out = 0;
}

void begin_reports_of_cluster(const uint3& first_block) { clusters.push_back({order.block_start, first_block}); }

void set_reports_once(bool wanted) { once = wanted; }

void report_race(uintptr_t address, const Access& earlier, const Access& later) {
    leave_kernel();
    note_race(describe_place(address), earlier, later);
    return_to_kernel();
}

void report_copy_in_flight(uintptr_t address, const Access& copy, const Access& access) {
    leave_kernel();
    if (is_new(copy.site, access.site, true)) {
        reports.push_back({"race on " + describe_place(address),
                           {who(access.thread, access.stamp) + " " + verb(access, false),
                            who(copy.thread, copy.stamp) + " began an asynchronous copy to it"},
                           {access.site, copy.site},
                           "which may land at any time until that thread commits it and waits for its group",
                           true});
    }
    return_to_kernel();
}

void report_reach(int rank, const Access& access) {
    if (is_new(access.site, 0, true)) {
        uint3 block = clusters.back().first_block;
        block.x += unsigned(rank);
        reports.push_back({"race on shared memory of block " + text_of(block) + ", which may have ended",
                           {who(access.thread, access.stamp) + " uses it"},
                           {access.site},
                           "all blocks of a cluster wait for each other before they end: cluster_arrive(), "
                           "cluster_wait()",
                           true});
    }
}

void note_confirmed(SiteOffset site) {
    if (confirmed.count(site) == 0) {
        leave_kernel();
        confirmed.insert(site);
        return_to_kernel();
    }
}

bool is_confirmed(SiteOffset site) { return confirmed.count(site) != 0; }

void suspect_race(uintptr_t address, const Access& earlier, const Access& later) {
    if (is_known(earlier.site, later.site, true)) {
        return;
    }
    leave_kernel();
    if (suspicions.size() >= most_suspicions) {
        settle_all_suspicions();
    }
    suspicions.push_back({address, earlier, later, describe_place(address)});
    return_to_kernel();
}

void settle_suspicions() {
    for (const Suspicion& s : suspicions) {
        if (is_of_this_thread(s)) {
            note_race(s.place, s.earlier, s.later);
        }
    }
    suspicions.erase(std::remove_if(suspicions.begin(), suspicions.end(), is_of_this_thread),
                     suspicions.end());
}

void forget_suspicions(uintptr_t address, size_t bytes) {
    if (suspicions.empty()) {
        return;
    }
    leave_kernel();
    const auto is_meant = [&](const Suspicion& s) {
        return is_of_this_thread(s) && s.address - address < bytes;
    };
    suspicions.erase(std::remove_if(suspicions.begin(), suspicions.end(), is_meant),
                     suspicions.end());
    return_to_kernel();
}

void report_unwritten(uintptr_t address, SiteOffset site, Kind kind) {
    leave_kernel();
    if (is_new(site, 0, false)) {
        reports.push_back({(kind == Kind::shared ? "shared memory that nothing wrote in this block: "
                                                 : "memory that nothing wrote: ") +
                               describe_place(address),
                           {who_runs() + " reads it"},
                           {site},
                           "",
                           false});
    }
    return_to_kernel();
}

void stop_out_of_bounds(uintptr_t address, size_t bytes, bool writes, SiteOffset site) {
    leave_kernel();
    stop<AccessError>({"out of bounds: " + describe_place(address),
                       {who_runs() + (writes ? " writes " : " reads ") + std::to_string(bytes) +
                        (bytes == 1 ? " byte" : " bytes")},
                       {site},
                       "",
                       false});
}

void stop_misaligned(uintptr_t address, size_t alignment, const std::string& place) {
    stop<AccessError>({"misaligned: " + describe_place(address) + ", whose address is no multiple of " +
                           std::to_string(alignment) + "\n    " + who_runs() +
                           " accesses it at " + place,
                       {}, {}, "", false});
}

void stop_wrong_index(int64_t index, const std::string& type, const std::string& place) {
    stop<AccessError>({"out of bounds: index " + std::to_string(index) + " of an array of type " + type +
                           "\n    " + who_runs() + " uses it at " + place,
                       {}, {}, "", false});
}

void stop_spinning(uintptr_t address, SiteOffset site, const Access* last_write) {
    leave_kernel();
    Report report{"waits for ever: " + describe_place(address) +
                      " is changed by no thread that can still run",
                  {who_runs() + " waits for it"}, {site}, "", false};
    if (last_write != nullptr) {
        report.lines.push_back(who(last_write->thread, last_write->stamp) + " wrote it last");
        report.sites.push_back(last_write->site);
    } else {
        report.advice = "nobody wrote it; blocks run one after another here, so none can wait for a later one";
    }
    stop<KernelError>(std::move(report));
}

void end_launch() {
    settle_all_suspicions();
    if (reports.empty()) {
        return;
    }
    const std::vector<Report> all = std::exchange(reports, {});
    const bool races = std::any_of(all.begin(), all.end(), [](const Report& r) { return r.is_race; });
    const std::string text = text_of(all);
    if (races) {
        throw RaceError(text);
    }
    throw AccessError(text);
}

}  // namespace check
}  // namespace emulate
