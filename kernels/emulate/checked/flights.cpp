#include "flights.h"

#include <unordered_map>

#include "../scheduler.h"
#include "report.h"

namespace emulate {
namespace check {

size_t copies_in_flight = 0;

namespace {

struct Flight {
    int thread;
    Stamp stamp;
    SiteOffset site;
};

std::unordered_map<uintptr_t, Flight> flights;

}  // namespace

void note_copy(uintptr_t destination, SiteOffset site) {
    leave_kernel();
    flights[destination] = {order.thread, order.now, site};
    copies_in_flight = flights.size();
    return_to_kernel();
}

void forget_copy(uintptr_t destination) {
    leave_kernel();
    flights.erase(destination);
    copies_in_flight = flights.size();
    return_to_kernel();
}

void forget_copies(uintptr_t destination, size_t bytes) {
    for (size_t byte = 0; byte < bytes; byte += copy_bytes) {
        flights.erase(destination + byte);
    }
    copies_in_flight = flights.size();
}

void forget_copies() {
    flights.clear();
    copies_in_flight = 0;
}

void look_for_copy(uintptr_t address, size_t bytes, bool writes, SiteOffset site) {
    for (uintptr_t at = address / copy_bytes * copy_bytes; at < address + bytes; at += copy_bytes) {
        const auto found = flights.find(at);
        if (found != flights.end()) {
            const Flight& flight = found->second;
            report_copy_in_flight(at, {true, false, flight.thread, flight.stamp, flight.site},
                                  {writes, false, order.thread, order.now, site});
        }
    }
}

}  // namespace check
}  // namespace emulate
