package reference

import (
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	kmsapi "k8s.io/kms/apis/v2"
)

// oneMessageEach describes the service with each call as a stream of messages, of which there must be exactly one. On the
// wire that is the same. As grpc-go 1.81 serves the generated description, it answers the first of two messages and drops
// the other. It costs no time that can be measured.
func oneMessageEach() *grpc.ServiceDesc {
	generated := kmsapi.KeyManagementService_ServiceDesc
	strict := grpc.ServiceDesc{ServiceName: generated.ServiceName, HandlerType: generated.HandlerType, Metadata: generated.Metadata}
	for _, method := range generated.Methods {
		strict.Streams = append(strict.Streams, grpc.StreamDesc{
			StreamName:    method.MethodName,
			ClientStreams: true,
			Handler: func(server any, stream grpc.ServerStream) error {
				receive := func(request any) error { return receiveOne(stream, request) }
				answer, err := method.Handler(server, stream.Context(), receive, nil)
				if err != nil {
					return err
				}
				return stream.SendMsg(answer)
			},
		})
	}
	return &strict
}

func receiveOne(stream grpc.ServerStream, request any) error {
	if err := refuseCompressed(stream.Context()); err != nil {
		return err
	}
	if err := stream.RecvMsg(request); errors.Is(err, io.EOF) {
		return status.Error(codes.InvalidArgument, "a call has one message, not none")
	} else if err != nil {
		return err
	}
	// The message of gRPC's own error would do, but a second message may be of any length.
	if err := stream.RecvMsg(&kmsapi.StatusRequest{}); !errors.Is(err, io.EOF) {
		return status.Error(codes.InvalidArgument, "a call has one message, and nothing after it")
	}
	return nil
}
