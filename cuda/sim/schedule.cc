#include "schedule.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace lorikeet::sim {

int Schedule::add_lane() {
  lanes_.emplace_back();
  return lanes() - 1;
}

void Schedule::add(int lane, std::function<void()> work) {
  lanes_[lane].queue.push_back({std::move(work), {}});
  lanes_[lane].issued++;
}

void Schedule::wait(int lane, Point point) {
  lanes_[lane].queue.push_back({{}, point});
  lanes_[lane].issued++;
}

bool Schedule::ordered_before_end(Point point, int lane) const {
  std::vector<uint64_t> reached(lanes_.size(), 0);  // of each lane, what has run when `lane` is at its end
  reached[lane] = lanes_[lane].issued;
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < lanes_.size(); i++) {
      const Lane& from = lanes_[i];
      for (size_t k = 0; k < from.queue.size() && from.done + k < reached[i]; k++) {
        const Point& after = from.queue[k].after;
        if (after.lane < 0 || reached[after.lane] >= after.position) continue;
        reached[after.lane] = after.position;
        changed = true;
      }
    }
  }
  return reached[point.lane] >= point.position;
}

// Runs one piece of work of a lane that has some that may run.
bool Schedule::step() {
  std::vector<int> ready;
  for (int i = 0; i < lanes(); i++) {
    const Lane& lane = lanes_[i];
    if (!lane.queue.empty() && (lane.queue.front().after.lane < 0 || done(lane.queue.front().after))) ready.push_back(i);
  }
  if (ready.empty()) return false;
  random_ = random_ * 1664525u + 1013904223u;
  const int chosen = ready[(random_ >> 8) % ready.size()];
  const Work work = std::move(lanes_[chosen].queue.front());
  lanes_[chosen].queue.pop_front();
  if (work.run) work.run();
  lanes_[chosen].done++;
  return true;
}

void Schedule::finish(Point point) {
  while (!done(point)) {
    if (!step()) throw std::logic_error("streams wait for each other");
  }
}

void Schedule::finish_all() {
  for (int lane = 0; lane < lanes(); lane++) finish(end_of(lane));
}

void Schedule::drop_all() {
  for (Lane& lane : lanes_) {
    lane.queue.clear();
    lane.done = lane.issued;
  }
}

}  // namespace lorikeet::sim
