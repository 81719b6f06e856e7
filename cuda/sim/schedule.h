// Work in lanes, which is what streams are: each lane in its order, and between lanes no order but what waits ask for.
// Nothing runs before somebody waits for it, and then a seeded generator picks which lane goes on. So a program that
// forgot an event gets wrong results with some seeds, where a card would mostly be kind.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

namespace lorikeet::sim {

class Schedule {
 public:
  explicit Schedule(uint32_t seed) : random_(seed) {}

  // A point in a lane: everything issued to it before.
  struct Point {
    int lane = -1;
    uint64_t position = 0;
  };

  int add_lane();
  int lanes() const { return static_cast<int>(lanes_.size()); }
  void add(int lane, std::function<void()> work);
  void wait(int lane, Point point);  // what is added to the lane afterwards runs after `point`
  Point end_of(int lane) const { return {lane, lanes_[lane].issued}; }
  bool done(Point point) const { return lanes_[point.lane].done >= point.position; }

  // Whether `point` has surely run when everything issued to `lane` has: through waits, directly or over other lanes.
  bool ordered_before_end(Point point, int lane) const;

  void finish(Point point);  // runs what it takes, and maybe more
  void finish_all();
  void drop_all();           // after a fault: forgets what has not run

 private:
  struct Work {
    std::function<void()> run;  // or empty: a wait
    Point after;
  };
  struct Lane {
    std::deque<Work> queue;
    uint64_t issued = 0, done = 0;
  };
  bool step();
  std::vector<Lane> lanes_;
  uint32_t random_;
};

}  // namespace lorikeet::sim
