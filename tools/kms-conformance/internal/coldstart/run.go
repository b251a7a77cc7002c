// Package coldstart measures how long kube-apiserver's own envelope code takes to read all objects after a restart, when
// the seed of each must be decrypted by the provider first.
package coldstart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"kms-conformance/internal/envelope"
	"kms-conformance/internal/provider"
)

const providerName = "cold-start"

// Plan says what to write and how to read it.
type Plan struct {
	SocketPath string
	// Seeds is how many DEK seeds there are: about one for each restart of each kube-apiserver since the last migration.
	Seeds int
	// Objects are written in turn under the seeds.
	Objects int
	// Callers read at once.
	Callers int
	// Repeats is how often all is read, each time with nothing cached.
	Repeats int
	// CallTimeout is the deadline of each call to the provider.
	CallTimeout time.Duration
}

// Check says what is wrong with a plan.
func (p Plan) Check() error {
	switch {
	case p.Seeds < 1 || p.Callers < 1 || p.Repeats < 1:
		return errors.New("at least one seed, one caller and one repeat are needed")
	case p.Objects < p.Seeds:
		return fmt.Errorf("%d objects cannot stand under %d seeds", p.Objects, p.Seeds)
	case p.CallTimeout <= 0:
		return errors.New("a call needs a timeout")
	}
	return nil
}

// Report is what came of it. It is written as JSON.
type Report struct {
	Seeds   int `json:"seeds"`
	Objects int `json:"objects"`
	Callers int `json:"callers"`
	// PrepareMs is how long the encryption of all seeds and objects took.
	PrepareMs float64 `json:"prepareMs"`
	// MedianMs is the median of ReadMs, the times of each reading of all objects.
	MedianMs float64   `json:"medianMs"`
	ReadMs   []float64 `json:"readMs"`
	// Decrypts counts the calls of each reading. There may be more than seeds: kube-apiserver's callers do not wait for
	// each other when they miss the same seed.
	Decrypts []int64 `json:"decrypts"`
}

// Run carries out the plan. It fails if any object is not read as it was written.
func Run(ctx context.Context, plan Plan) (*Report, error) {
	if err := plan.Check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx) // It closes the client's connection.
	defer cancel()
	client, err := provider.KubeAPIServerClient(ctx, plan.SocketPath, providerName, plan.CallTimeout)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	objects, state, err := envelope.WriteUnderSeeds(ctx, client, providerName, plan.Seeds, plan.Objects, plan.Callers)
	if err != nil {
		return nil, err
	}
	report := &Report{Seeds: plan.Seeds, Objects: plan.Objects, Callers: plan.Callers, PrepareMs: milliseconds(time.Since(started))}
	for range plan.Repeats {
		counting := &envelope.Counting{Service: client}
		transformer := envelope.NewTransformer(counting, providerName, state)
		started := time.Now()
		if err := envelope.ReadAll(ctx, transformer, objects, plan.Callers); err != nil {
			return nil, err
		}
		report.ReadMs = append(report.ReadMs, milliseconds(time.Since(started)))
		report.Decrypts = append(report.Decrypts, counting.Decrypts.Load())
		if decrypts := counting.Decrypts.Load(); decrypts < int64(plan.Seeds) {
			return nil, fmt.Errorf("%d seeds were read with %d Decrypts: the cache was not cold", plan.Seeds, decrypts)
		}
	}
	report.MedianMs = median(report.ReadMs)
	return report, nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func milliseconds(elapsed time.Duration) float64 { return float64(elapsed) / float64(time.Millisecond) }

// WriteText writes the report for a person.
func (r *Report) WriteText(out io.Writer) error {
	_, err := fmt.Fprintf(out, "%d objects under %d seeds, %d callers, nothing cached: read in %.1f ms (median of %d: %.1f)\n"+
		"Decrypts in each reading: %d; prepared in %.1f ms\n",
		r.Objects, r.Seeds, r.Callers, r.MedianMs, len(r.ReadMs), r.ReadMs, r.Decrypts, r.PrepareMs)
	return err
}
