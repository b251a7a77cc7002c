// Package load calls a provider as often as it can, from a given number of callers, and counts and times the answers.
package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	kmsapi "k8s.io/kms/apis/v2"

	"kms-conformance/internal/provider"
)

// maxExamples is how many wrong answers the report quotes.
const maxExamples = 5

// Plan says what to do and how long.
type Plan struct {
	SocketPath string
	// Operations are called in turn: one for a plain load, several for a mixed one.
	Operations []Operation
	// Callers each wait for an answer before they call again.
	Callers int
	// Connections are shared by the callers. kube-apiserver has one.
	Connections int
	// Duration ends the load, unless Count did before. 0: only Count ends it.
	Duration time.Duration
	// Count is how many calls are made in all. 0: only Duration ends the load.
	Count uint64
	// WarmUp is a time of calls before those that are counted.
	WarmUp time.Duration
	// CallTimeout is the deadline of each call.
	CallTimeout time.Duration
}

// Check says what is wrong with a plan.
func (p Plan) Check() error {
	switch {
	case p.Callers < 1 || p.Connections < 1:
		return errors.New("at least one caller and one connection are needed")
	case p.Connections > p.Callers:
		return fmt.Errorf("%d connections cannot be shared by %d callers", p.Connections, p.Callers)
	case p.Duration <= 0 && p.Count == 0:
		return errors.New("either a duration or a count must end the load")
	case p.CallTimeout <= 0:
		return errors.New("a call needs a timeout")
	case len(p.Operations) == 0:
		return errors.New("no operation given")
	}
	return nil
}

// tally is what one caller saw of one operation.
type tally struct {
	times    Histogram
	codes    map[string]uint64
	wrong    uint64
	examples []string
}

func (t *tally) record(elapsed time.Duration, result answer) {
	t.times.Record(elapsed)
	t.codes[result.code.String()]++
	if result.wrong != nil {
		t.wrong++
		if len(t.examples) < maxExamples {
			t.examples = append(t.examples, result.wrong.Error())
		}
	}
}

// Run carries out the plan. An error means that the load could not start; wrong answers are in the report.
func Run(ctx context.Context, plan Plan) (*Report, error) {
	if err := plan.Check(); err != nil {
		return nil, err
	}
	connections, err := connectAll(plan)
	if err != nil {
		return nil, err
	}
	defer closeAll(connections)
	sample, err := firstCalls(ctx, plan, connections)
	if err != nil {
		return nil, err
	}
	if plan.WarmUp > 0 {
		warmUp := plan
		warmUp.Duration, warmUp.Count = plan.WarmUp, 0
		callAll(ctx, warmUp, connections, sample)
	}
	started := time.Now()
	tallies := callAll(ctx, plan, connections, sample)
	return newReport(plan, time.Since(started), tallies), nil
}

func connectAll(plan Plan) ([]*provider.Connection, error) {
	var connections []*provider.Connection
	for range plan.Connections {
		connection, err := provider.Connect(plan.SocketPath)
		if err != nil {
			closeAll(connections)
			return nil, err
		}
		connections = append(connections, connection)
	}
	return connections, nil
}

func closeAll(connections []*provider.Connection) {
	for _, connection := range connections {
		_ = connection.Close() // Close fails only on a second call.
	}
}

// firstCalls opens every connection, so that no dialling is timed.
func firstCalls(ctx context.Context, plan Plan, connections []*provider.Connection) (*sample, error) {
	ctx, cancel := context.WithTimeout(ctx, plan.CallTimeout)
	defer cancel()
	for _, connection := range connections {
		if _, err := connection.KMS.Status(ctx, &kmsapi.StatusRequest{}); err != nil {
			return nil, fmt.Errorf("the first Status failed: %w", err)
		}
	}
	return takeSample(ctx, connections[0].KMS)
}

func callAll(ctx context.Context, plan Plan, connections []*provider.Connection, sample *sample) []map[Operation]*tally {
	var made atomic.Uint64
	var deadline time.Time
	if plan.Duration > 0 {
		deadline = time.Now().Add(plan.Duration)
	}
	mayCall := func() bool {
		return ctx.Err() == nil &&
			(deadline.IsZero() || time.Now().Before(deadline)) &&
			(plan.Count == 0 || made.Add(1) <= plan.Count)
	}
	tallies := make([]map[Operation]*tally, plan.Callers)
	var group sync.WaitGroup
	for caller := range plan.Callers {
		tallies[caller] = map[Operation]*tally{}
		for _, operation := range plan.Operations {
			tallies[caller][operation] = &tally{codes: map[string]uint64{}}
		}
		group.Go(func() {
			client := connections[caller%len(connections)].KMS
			// Callers start at different operations, or a mixed load would come in waves.
			for turn := caller; mayCall(); turn++ {
				operation := plan.Operations[turn%len(plan.Operations)]
				callCtx, cancel := context.WithTimeout(ctx, plan.CallTimeout)
				started := time.Now()
				result := sample.call(callCtx, client, operation)
				elapsed := time.Since(started)
				cancel()
				if ctx.Err() != nil {
					return // The call was cut off by us: its answer says nothing about the provider.
				}
				tallies[caller][operation].record(elapsed, result)
			}
		})
	}
	group.Wait()
	return tallies
}
