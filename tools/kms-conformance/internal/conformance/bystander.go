package conformance

import (
	"context"
	"time"
)

// Bystander is another client of the same provider: whatever is done to the provider on one connection must not reach it.
type Bystander struct {
	bench  *Bench
	client *Client
	sample *Sample
}

// Bystander connects another client, and sees that it is served, before anything odd is sent.
func (b *Bench) Bystander(ctx context.Context) (*Bystander, error) {
	client, err := b.Client()
	if err != nil {
		return nil, err
	}
	sample, err := client.Sample(ctx)
	if err != nil {
		return nil, err
	}
	return &Bystander{bench: b, client: client, sample: sample}, nil
}

const (
	// watchCalls and watchInterval are how long a bystander watches: harm may show a little later.
	watchCalls    = 10
	watchInterval = 2 * time.Millisecond
)

// StillServed sees, for a while, that the bystander's connection is the same as before and answers, and that a new one is
// served, too.
func (s *Bystander) StillServed(ctx context.Context) error {
	for range watchCalls {
		if err := s.client.Verify(ctx, s.sample); err != nil {
			return Fail("another client, connected before, is still served", "%v", err)
		}
		if err := Pause(ctx, watchInterval); err != nil {
			return err
		}
	}
	if dials := s.client.Dials(); dials != 1 {
		return Fail("another client keeps its connection", "it was lost and dialled %d times", dials)
	}
	newcomer, err := s.bench.Client()
	if err != nil {
		return err
	}
	if _, err := newcomer.Sample(ctx); err != nil {
		return Fail("a new client is served", "%v", err)
	}
	return nil
}

// Pause waits, unless ctx ends first.
func Pause(ctx context.Context, interval time.Duration) error {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
