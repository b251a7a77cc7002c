package load

import (
	"math"
	"math/bits"
	"time"
)

const (
	// stepBits is how many bits of a time are kept: 2^6 steps for each doubling, so a quantile is off by 1.6 % at most.
	stepBits     = 6
	steps        = 1 << stepBits
	bucketsCount = (64 - stepBits + 1) * steps
)

// Histogram counts times in a fixed amount of memory, however many there are. It is not safe for concurrent use.
type Histogram struct {
	counts [bucketsCount]uint64
	total  uint64
	max    time.Duration
}

// Record counts one time.
func (h *Histogram) Record(elapsed time.Duration) {
	h.counts[bucketOf(elapsed)]++
	h.total++
	h.max = max(h.max, elapsed)
}

// Add counts all that another histogram has counted.
func (h *Histogram) Add(other *Histogram) {
	for bucket, count := range other.counts {
		h.counts[bucket] += count
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// Total is how many times were counted.
func (h *Histogram) Total() uint64 { return h.total }

// Max is the longest time, exactly.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile is the time that the given part (0…1) of all times do not exceed; 0 if none was counted.
func (h *Histogram) Quantile(part float64) time.Duration {
	rank := max(1, uint64(math.Ceil(part*float64(h.total))))
	var seen uint64
	for bucket, count := range h.counts {
		seen += count
		if seen >= rank {
			return min(upperBound(bucket), h.max)
		}
	}
	return h.max
}

// bucketOf keeps the highest bits of a time in nanoseconds, and how far they were shifted.
func bucketOf(elapsed time.Duration) int {
	value := uint64(max(elapsed, 0))
	shift := max(0, bits.Len64(value)-stepBits-1)
	return shift*steps + int(value>>shift)
}

// upperBound is the longest time that bucketOf puts into a bucket.
func upperBound(bucket int) time.Duration {
	shift := max(0, bucket/steps-1)
	leading := uint64(bucket - shift*steps)
	return time.Duration((leading+1)<<shift - 1)
}
