package envelope

import (
	"bytes"
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	"k8s.io/kms/pkg/service"
)

// WriteUnderSeeds writes objects in turn under so many seeds, each encrypted by the provider, and gives them as etcd would
// hold them, with the state of the last seed. That many seeds are what many restarts of kube-apiserver leave behind.
func WriteUnderSeeds(
	ctx context.Context, provider service.Service, providerName string, seeds, objects, callers int,
) ([][]byte, kmsv2.State, error) {
	states := make([]kmsv2.State, seeds)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(callers)
	for seed := range states {
		group.Go(func() (err error) {
			states[seed], err = NewState(groupCtx, provider, true)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, kmsv2.State{}, err
	}
	transformers := make([]value.Transformer, seeds)
	for seed, state := range states {
		transformers[seed] = NewTransformer(provider, providerName, state)
	}
	written := make([][]byte, objects)
	for index := range written {
		object, err := transformers[index%seeds].TransformToStorage(ctx, ObjectContent(index), ObjectContext(index))
		if err != nil {
			return nil, kmsv2.State{}, fmt.Errorf("object %d is not written: %w", index, err)
		}
		written[index] = object
	}
	return written, states[seeds-1], nil
}

// ReadAll reads objects that WriteUnderSeeds wrote, from so many callers at once, and checks their content.
func ReadAll(ctx context.Context, transformer value.Transformer, objects [][]byte, callers int) error {
	group, ctx := errgroup.WithContext(ctx)
	for caller := range callers {
		group.Go(func() error {
			for index := caller; index < len(objects); index += callers {
				content, stale, err := transformer.TransformFromStorage(ctx, objects[index], ObjectContext(index))
				if err != nil {
					return fmt.Errorf("object %d is not read: %w", index, err)
				}
				if stale || !bytes.Equal(content, ObjectContent(index)) {
					return fmt.Errorf("object %d is not read as it was written: stale: %t, %d bytes", index, stale, len(content))
				}
			}
			return nil
		})
	}
	return group.Wait()
}
