package load

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestQuantilesLieWithinTwoPercentOfTheSortedTimes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var histogram Histogram
	var times []time.Duration
	for range 20_000 {
		elapsed := time.Duration(1) << random.IntN(36)
		elapsed += time.Duration(random.Int64N(int64(elapsed)))
		times = append(times, elapsed)
		histogram.Record(elapsed)
	}
	slices.Sort(times)
	for _, part := range []float64{0.001, 0.5, 0.9, 0.99, 0.999, 1} {
		exact := float64(times[max(0, int(part*float64(len(times)))-1)])
		got := float64(histogram.Quantile(part))
		if got < exact*0.98 || got > exact*1.02 {
			t.Errorf("quantile %v: got %v, the sorted times have %v", part, got, exact)
		}
	}
	if histogram.Max() != times[len(times)-1] {
		t.Errorf("max: got %v, expected %v", histogram.Max(), times[len(times)-1])
	}
}

func TestEveryTimeLiesInItsBucket(t *testing.T) {
	for _, elapsed := range []time.Duration{0, 1, 63, 64, 65, 127, 128, 129, 255, 256, time.Microsecond, time.Hour, 1<<63 - 1} {
		bucket := bucketOf(elapsed)
		if elapsed > upperBound(bucket) {
			t.Errorf("%d ns lies above the bucket's bound %d", elapsed, upperBound(bucket))
		}
		if bucket > 0 && elapsed <= upperBound(bucket-1) {
			t.Errorf("%d ns lies in the bucket before, which reaches to %d", elapsed, upperBound(bucket-1))
		}
	}
}

func TestAddedHistogramsCountBoth(t *testing.T) {
	var one, other Histogram
	one.Record(time.Millisecond)
	other.Record(time.Second)
	one.Add(&other)
	if one.Total() != 2 || one.Max() != time.Second {
		t.Errorf("got %d times, the longest %v", one.Total(), one.Max())
	}
}

func TestNoTimeHasQuantileZero(t *testing.T) {
	var empty Histogram
	if got := empty.Quantile(0.5); got != 0 {
		t.Errorf("got %v", got)
	}
}
