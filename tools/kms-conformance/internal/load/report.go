package load

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Report is what came of a load. It is written as JSON.
type Report struct {
	Callers         int               `json:"callers"`
	Connections     int               `json:"connections"`
	DurationSeconds float64           `json:"durationSeconds"`
	Calls           uint64            `json:"calls"`
	PerSecond       float64           `json:"perSecond"`
	Wrong           uint64            `json:"wrong"`
	Operations      []OperationReport `json:"operations"`
}

// OperationReport is the part of one operation.
type OperationReport struct {
	Operation Operation `json:"operation"`
	Calls     uint64    `json:"calls"`
	PerSecond float64   `json:"perSecond"`
	P50Ms     float64   `json:"p50Ms"`
	P90Ms     float64   `json:"p90Ms"`
	P99Ms     float64   `json:"p99Ms"`
	MaxMs     float64   `json:"maxMs"`
	// Codes counts the answers by gRPC status code.
	Codes map[string]uint64 `json:"codes"`
	// Wrong counts answers that are not right: errors, and for bad-decrypt whatever is not a refusal.
	Wrong    uint64   `json:"wrong"`
	Examples []string `json:"examples,omitempty"`
}

func newReport(plan Plan, elapsed time.Duration, tallies []map[Operation]*tally) *Report {
	report := &Report{Callers: plan.Callers, Connections: plan.Connections, DurationSeconds: elapsed.Seconds()}
	for _, operation := range plan.Operations {
		part := reportOperation(operation, elapsed, tallies)
		report.Calls += part.Calls
		report.Wrong += part.Wrong
		report.Operations = append(report.Operations, part)
	}
	report.PerSecond = perSecond(report.Calls, elapsed)
	return report
}

func reportOperation(operation Operation, elapsed time.Duration, tallies []map[Operation]*tally) OperationReport {
	var times Histogram
	part := OperationReport{Operation: operation, Codes: map[string]uint64{}}
	for _, caller := range tallies {
		seen := caller[operation]
		times.Add(&seen.times)
		part.Wrong += seen.wrong
		for code, count := range seen.codes {
			part.Codes[code] += count
		}
		part.Examples = append(part.Examples, seen.examples[:min(len(seen.examples), maxExamples-len(part.Examples))]...)
	}
	part.Calls = times.Total()
	part.PerSecond = perSecond(part.Calls, elapsed)
	part.P50Ms = milliseconds(times.Quantile(0.5))
	part.P90Ms = milliseconds(times.Quantile(0.9))
	part.P99Ms = milliseconds(times.Quantile(0.99))
	part.MaxMs = milliseconds(times.Max())
	return part
}

func perSecond(calls uint64, elapsed time.Duration) float64 {
	if elapsed <= 0 {
		return 0
	}
	return float64(calls) / elapsed.Seconds()
}

func milliseconds(elapsed time.Duration) float64 { return float64(elapsed) / float64(time.Millisecond) }

// WriteText writes the report for a person.
func (r *Report) WriteText(out io.Writer) error {
	_, err := fmt.Fprintf(out, "%d calls in %.1f s from %d callers on %d connections: %.0f calls/s, %d wrong answers\n",
		r.Calls, r.DurationSeconds, r.Callers, r.Connections, r.PerSecond, r.Wrong)
	for _, part := range r.Operations {
		if err == nil {
			err = part.writeText(out)
		}
	}
	return err
}

func (r OperationReport) writeText(out io.Writer) error {
	_, err := fmt.Fprintf(out, "%-11s %9d calls  %8.0f/s  p50 %.3f ms  p90 %.3f ms  p99 %.3f ms  max %.3f ms ",
		r.Operation, r.Calls, r.PerSecond, r.P50Ms, r.P90Ms, r.P99Ms, r.MaxMs)
	for _, code := range slices.Sorted(maps.Keys(r.Codes)) {
		if err == nil {
			_, err = fmt.Fprintf(out, " %s: %d", code, r.Codes[code])
		}
	}
	if err == nil {
		_, err = fmt.Fprintln(out)
	}
	for _, example := range r.Examples {
		if err == nil {
			_, err = fmt.Fprintf(out, "  wrong: %s\n", example)
		}
	}
	return err
}
