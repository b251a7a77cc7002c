package cases

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	kmsapi "k8s.io/kms/apis/v2"

	"kms-conformance/internal/conformance"
	"kms-conformance/internal/rawhttp2"
)

// largeMessageBytes is far above the 35 KiB or so that kube-apiserver can send.
const largeMessageBytes = 10 << 20

func messageCases() []conformance.Case {
	return []conformance.Case{
		{
			ID: "grpc/large-message", Profile: conformance.Spec,
			Sentence: "a message of 10 MB is refused, and nobody else notices",
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				return testLargeMessage(ctx, bench, func(_ *conformance.Client, got *status.Status) error {
					// Unavailable: the connection may be the price.
					if got.Code() == codes.OK || got.Code() == codes.DeadlineExceeded {
						return conformance.Fail("a refusal", "%s: %s", got.Code(), got.Message())
					}
					return nil
				})
			},
		},
		{
			ID: "grpc/large-message/code", Profile: conformance.Strict,
			Sentence: "a message of 10 MB is refused with RESOURCE_EXHAUSTED or INVALID_ARGUMENT, and its connection serves on",
			Test: func(ctx context.Context, bench *conformance.Bench) error {
				return testLargeMessage(ctx, bench, func(client *conformance.Client, got *status.Status) error {
					if err := expectCode(got, codes.ResourceExhausted, codes.InvalidArgument); err != nil {
						return err
					}
					if _, err := client.Sample(ctx); err != nil {
						return err
					}
					if dials := client.Dials(); dials != 1 {
						return conformance.Fail("the connection is kept", "it was lost and dialled %d times", dials)
					}
					return nil
				})
			},
		},
	}
}

func testLargeMessage(
	ctx context.Context, bench *conformance.Bench, judge func(client *conformance.Client, got *status.Status) error,
) error {
	bystander, err := bench.Bystander(ctx)
	if err != nil {
		return err
	}
	client, err := bench.Client()
	if err != nil {
		return err
	}
	if _, err := client.Sample(ctx); err != nil {
		return err
	}
	_, err = client.Encrypt(ctx, make([]byte, largeMessageBytes), conformance.NewUID())
	if err := judge(client, status.Convert(err)); err != nil {
		return err
	}
	return bystander.StillServed(ctx)
}

// encryptOn makes a good call by hand on a stream of a connection that was started.
func encryptOn(connection *rawhttp2.Connection, stream uint32, seed []byte) (*rawhttp2.Outcome, error) {
	message, err := proto.Marshal(&kmsapi.EncryptRequest{Plaintext: seed, Uid: conformance.NewUID()})
	if err != nil {
		return nil, err
	}
	if err := connection.OpenStream(stream, rawhttp2.CallFields(encryptPath), false); err != nil {
		return nil, err
	}
	if err := connection.Send(stream, rawhttp2.Message(message), true); err != nil {
		return nil, err
	}
	return connection.Await(stream), nil
}
