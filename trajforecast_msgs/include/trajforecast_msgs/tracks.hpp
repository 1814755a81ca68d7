// Reads the flat arrays of PredictedTracks and TrackSummary by their axes.
//
//   #include "trajforecast_msgs/tracks.hpp"
//
//   void on_tracks(const trajforecast_msgs::msg::PredictedTracks & message)
//   {
//     const trajforecast_msgs::TracksView tracks(message);
//     const std::size_t side = tracks.view_index("side");
//     const auto [x, y] = tracks.at(side, 0, 5, 32, 32);  // view, sample, step, row, column; pixels
//   }
//
// Making a view compares the arrays with the sizes that the message announces, once. at() checks each index, as
// std::vector's does; the call operator takes the same indices and checks nothing. A view refers to the message, which
// must outlive it.

#ifndef TRAJFORECAST_MSGS__TRACKS_HPP_
#define TRAJFORECAST_MSGS__TRACKS_HPP_

#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <vector>

#include "trajforecast_msgs/msg/predicted_tracks.hpp"
#include "trajforecast_msgs/msg/track_summary.hpp"

namespace trajforecast_msgs
{

/// A position in pixels of the view's own source image: x to the right, y downwards, (0, 0) the corner of the top-left
/// pixel.
struct Point
{
  float x;
  float y;
};

namespace detail
{

/// A flat row-major array and the lengths of its axes.
template<std::size_t Axes>
class Array
{
public:
  using Lengths = std::array<std::size_t, Axes>;

  /// Throws std::invalid_argument when there are not `numbers` numbers for each element.
  Array(
    const char * name, const std::vector<float> & values, const Lengths & lengths,
    const std::array<const char *, Axes> & axes, std::size_t numbers)
  : values_(values.data()), lengths_(lengths), axes_(axes)
  {
    std::size_t expected = numbers;
    for (const std::size_t length : lengths) {
      expected *= length;
    }
    if (values.size() != expected) {
      throw std::invalid_argument(
              std::string(name) + " should have " + std::to_string(expected) + " numbers, got " +
              std::to_string(values.size()));
    }
  }

  /// Where an element is among the elements.
  std::size_t index(const Lengths & indices) const noexcept
  {
    std::size_t flat = 0;
    for (std::size_t axis = 0; axis < Axes; ++axis) {
      flat = flat * lengths_[axis] + indices[axis];
    }
    return flat;
  }

  /// The same, or std::out_of_range.
  std::size_t checked_index(const Lengths & indices) const
  {
    for (std::size_t axis = 0; axis < Axes; ++axis) {
      if (indices[axis] >= lengths_[axis]) {
        throw std::out_of_range(
                std::string(axes_[axis]) + " " + std::to_string(indices[axis]) + " is not among the " +
                std::to_string(lengths_[axis]) + " of this message");
      }
    }
    return index(indices);
  }

  float number(std::size_t flat) const noexcept {return values_[flat];}
  Point point(std::size_t flat) const noexcept {return {values_[2 * flat], values_[2 * flat + 1]};}

private:
  const float * values_;
  Lengths lengths_;
  std::array<const char *, Axes> axes_;
};

template<typename Message>
std::size_t view_index(const Message & message, const std::string & name)
{
  std::string known;
  for (std::size_t view = 0; view < message.views.size(); ++view) {
    if (message.views[view].name == name) {
      return view;
    }
    known += (view ? ", " : "") + message.views[view].name;
  }
  throw std::out_of_range("there is no view '" + name + "' in this message; it has " + known);
}

}  // namespace detail

/// A PredictedTracks message. Throws std::invalid_argument when an array is not of the size that the message announces.
class TracksView
{
public:
  explicit TracksView(const msg::PredictedTracks & message)
  : message_(message),
    tracks_("tracks", message.tracks, lengths(message), AXES, 2),
    visibility_(
      "visibility", message.visibility, message.visibility.empty() ? Lengths{} : lengths(message), AXES, 1) {}

  explicit TracksView(const msg::PredictedTracks &&) = delete;

  /// Where a query point is at header.stamp + step * dt in one sampled future. Throws std::out_of_range.
  Point at(std::size_t view, std::size_t sample, std::size_t step, std::size_t row, std::size_t column) const
  {
    return tracks_.point(tracks_.checked_index({view, sample, step, row, column}));
  }

  /// The same without a look at the indices.
  Point operator()(
    std::size_t view, std::size_t sample, std::size_t step, std::size_t row, std::size_t column) const noexcept
  {
    return tracks_.point(tracks_.index({view, sample, step, row, column}));
  }

  bool has_visibility() const noexcept {return !message_.visibility.empty();}

  /// The probability that a point is visible. Throws std::out_of_range, always where the message has no visibility.
  float visibility_at(
    std::size_t view, std::size_t sample, std::size_t step, std::size_t row, std::size_t column) const
  {
    return visibility_.number(visibility_.checked_index({view, sample, step, row, column}));
  }

  /// Throws std::out_of_range when the message has no such view, say because its camera is silent.
  std::size_t view_index(const std::string & name) const {return detail::view_index(message_, name);}

  std::size_t num_views() const noexcept {return message_.views.size();}
  std::size_t num_samples() const noexcept {return message_.num_samples;}
  std::size_t num_steps() const noexcept {return message_.num_steps;}
  std::size_t num_rows() const noexcept {return message_.grid_height;}
  std::size_t num_columns() const noexcept {return message_.grid_width;}

private:
  using Lengths = detail::Array<5>::Lengths;
  static constexpr std::array<const char *, 5> AXES{"view", "sample", "step", "row", "column"};

  static Lengths lengths(const msg::PredictedTracks & message)
  {
    return {message.views.size(), message.num_samples, message.num_steps, message.grid_height, message.grid_width};
  }

  const msg::PredictedTracks & message_;
  detail::Array<5> tracks_;
  detail::Array<5> visibility_;
};

/// A TrackSummary message. Throws std::invalid_argument when an array is not of the size that the message announces.
class SummaryView
{
public:
  explicit SummaryView(const msg::TrackSummary & message)
  : message_(message),
    mean_t_("mean_t", message.mean_t, lengths(message), AXES, 2),
    min_("min", message.min, lengths(message), AXES, 2),
    spread_("spread", message.spread, lengths(message), AXES, 1) {}

  explicit SummaryView(const msg::TrackSummary &&) = delete;

  // Checked: std::out_of_range.

  /// The average of the samples.
  Point mean_t_at(std::size_t view, std::size_t step, std::size_t row, std::size_t column) const
  {
    return mean_t_.point(mean_t_.checked_index({view, step, row, column}));
  }

  /// The medoid sample.
  Point min_at(std::size_t view, std::size_t step, std::size_t row, std::size_t column) const
  {
    return min_.point(min_.checked_index({view, step, row, column}));
  }

  /// How much the samples differ, pixels.
  float spread_at(std::size_t view, std::size_t step, std::size_t row, std::size_t column) const
  {
    return spread_.number(spread_.checked_index({view, step, row, column}));
  }

  // The same without a look at the indices.

  Point mean_t(std::size_t view, std::size_t step, std::size_t row, std::size_t column) const noexcept
  {
    return mean_t_.point(mean_t_.index({view, step, row, column}));
  }

  Point min(std::size_t view, std::size_t step, std::size_t row, std::size_t column) const noexcept
  {
    return min_.point(min_.index({view, step, row, column}));
  }

  float spread(std::size_t view, std::size_t step, std::size_t row, std::size_t column) const noexcept
  {
    return spread_.number(spread_.index({view, step, row, column}));
  }

  /// Throws std::out_of_range when the message has no such view, say because its camera is silent.
  std::size_t view_index(const std::string & name) const {return detail::view_index(message_, name);}

  std::size_t num_views() const noexcept {return message_.views.size();}
  std::size_t num_steps() const noexcept {return message_.num_steps;}
  std::size_t num_rows() const noexcept {return message_.grid_height;}
  std::size_t num_columns() const noexcept {return message_.grid_width;}

private:
  using Lengths = detail::Array<4>::Lengths;
  static constexpr std::array<const char *, 4> AXES{"view", "step", "row", "column"};

  static Lengths lengths(const msg::TrackSummary & message)
  {
    return {message.views.size(), message.num_steps, message.grid_height, message.grid_width};
  }

  const msg::TrackSummary & message_;
  detail::Array<4> mean_t_;
  detail::Array<4> min_;
  detail::Array<4> spread_;
};

}  // namespace trajforecast_msgs

#endif  // TRAJFORECAST_MSGS__TRACKS_HPP_
