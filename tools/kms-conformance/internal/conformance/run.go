package conformance

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// Run runs the cases one after the other, and tells of each as it ends.
func Run(ctx context.Context, settings Settings, profile Profile, cases []Case, tell func(Result)) *Report {
	report := &Report{Profile: profile, Results: []Result{}}
	for _, one := range cases {
		if ctx.Err() != nil {
			report.Interrupted = true
			break
		}
		result := runOne(ctx, settings, one)
		report.add(result)
		tell(result)
	}
	return report
}

func runOne(ctx context.Context, settings Settings, one Case) Result {
	bench := &Bench{Settings: settings, measures: map[string]float64{}}
	ctx, cancel := context.WithTimeout(ctx, settings.CaseTimeout)
	started := time.Now()
	err := testSafely(ctx, bench, one)
	elapsed := time.Since(started)
	cancel()
	bench.close()

	result := Result{ID: one.ID, Profile: one.Profile, Sentence: one.Sentence, DurationMs: milliseconds(elapsed)}
	if len(bench.measures) > 0 {
		result.Measures = bench.measures
	}
	var failure *Failure
	var skip *Skip
	switch {
	case err == nil:
		result.Outcome = Passed
	case errors.As(err, &failure):
		result.Outcome, result.Expected, result.Got = Failed, failure.Expected, failure.Got
	case errors.As(err, &skip):
		result.Outcome, result.Reason = Skipped, skip.Reason
	default:
		result.Outcome, result.Expected, result.Got = Failed, one.Sentence, err.Error()
	}
	return result
}

// testSafely turns a panic, of a case or of the code of kube-apiserver that it calls, into a failure.
func testSafely(ctx context.Context, bench *Bench, one Case) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v\n%s", reason, debug.Stack())
		}
	}()
	return one.Test(ctx, bench)
}

func milliseconds(elapsed time.Duration) float64 { return float64(elapsed) / float64(time.Millisecond) }
