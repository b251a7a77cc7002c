package cases

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	kmsapi "k8s.io/kms/apis/v2"
	"k8s.io/kms/pkg/service"

	"kms-conformance/internal/conformance"
	"kms-conformance/internal/rawhttp2"
	"kms-conformance/internal/reference"
)

// plainServer serves gRPC's unary calls by golang.org/x/net/http2, so that each of gRPC's rules can be broken alone.
type plainServer struct {
	provider service.Service
	broken   promise
	http2    http2.Server
	base     http.Server
	listener net.Listener
	mutex    sync.Mutex
	open     map[net.Conn]bool
}

const maxPlainMessageBytes = 256 << 10

func servePlain(t *testing.T, own *reference.Service, broken promise) testee {
	t.Helper()
	listener, path := listen(t)
	plain := &plainServer{provider: own, broken: broken, open: map[net.Conn]bool{}, listener: listener}
	plain.base.MaxHeaderBytes = 16 << 10
	plain.base.ErrorLog = log.New(io.Discard, "", 0)
	start(t, plain, listener)
	return testee{socketPath: path, rotate: func(context.Context) error { return own.Rotate() }}
}

func (s *plainServer) Serve(listener net.Listener) error {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		s.mutex.Lock()
		s.open[connection] = true
		s.mutex.Unlock()
		go func() {
			s.http2.ServeConn(connection, &http2.ServeConnOpts{Handler: s, BaseConfig: &s.base})
			_ = connection.Close()
			s.mutex.Lock()
			delete(s.open, connection)
			s.mutex.Unlock()
		}()
	}
}

func (s *plainServer) Stop() {
	_ = s.listener.Close()
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for connection := range s.open {
		_ = connection.Close()
	}
}

func (s *plainServer) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost && !s.breaks(takesGet) {
		writer.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if !s.takesContentType(request.Header.Get("Content-Type")) {
		writer.WriteHeader(http.StatusUnsupportedMediaType)
		return
	}
	answer, err := s.answer(request)
	header := writer.Header()
	header.Set("Content-Type", "application/grpc")
	if err == nil {
		header.Set("Trailer", "Grpc-Status")
		if _, err := writer.Write(rawhttp2.Message(answer)); err != nil {
			return // The client is gone.
		}
		header.Set("Grpc-Status", "0")
		return
	}
	refusal := status.Convert(err)
	header.Set("Grpc-Status", strconv.Itoa(int(refusal.Code())))
	header.Set("Grpc-Message", refusal.Message())
}

func (s *plainServer) takesContentType(contentType string) bool {
	switch contentType {
	case "application/grpc":
		return true
	case "application/grpc+proto":
		return !s.breaks(takesOneContentTypeOnly)
	case "":
		return s.breaks(takesNoContentType)
	default:
		return (strings.HasPrefix(contentType, "application/grpc") && s.breaks(takesSimilarContentType)) ||
			(contentType == "text/plain" && s.breaks(takesAnyContentType))
	}
}

func (s *plainServer) answer(request *http.Request) ([]byte, error) {
	ctx, cancel, err := s.withDeadline(request)
	if err != nil {
		return nil, err
	}
	defer cancel()
	if request.Header.Get("X-Kms-Conformance") != "" && s.breaks(refusesUnknownHeaders) {
		return nil, status.Error(codes.InvalidArgument, "unknown header field")
	}
	if request.Header.Get("User-Agent") == "" && s.breaks(servesNamedClientsOnly) {
		return nil, status.Error(codes.PermissionDenied, "who are you")
	}
	message, err := s.readMessage(request)
	if err != nil {
		return nil, err
	}
	answer, err := s.call(ctx, request.RequestURI, message)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(answer)
}

var timeoutSyntax = regexp.MustCompile(`^(\d{1,8})([HMSmun])$`)

var timeoutUnits = map[string]time.Duration{
	"H": time.Hour, "M": time.Minute, "S": time.Second, "m": time.Millisecond, "u": time.Microsecond, "n": time.Nanosecond,
}

func (s *plainServer) withDeadline(request *http.Request) (context.Context, context.CancelFunc, error) {
	text := request.Header.Get("Grpc-Timeout")
	if text == "" || s.breaks(ignoresDeadlines) {
		return request.Context(), func() {}, nil
	}
	parts := timeoutSyntax.FindStringSubmatch(text)
	if parts == nil {
		if s.breaks(hangsOnBadDeadline) {
			<-request.Context().Done()
		}
		return nil, nil, status.Error(codes.InvalidArgument, "malformed grpc-timeout")
	}
	if parts[2] == "H" && s.breaks(knowsNoHours) {
		return nil, nil, status.Error(codes.InvalidArgument, "unknown unit")
	}
	number, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(request.Context(), time.Duration(number)*timeoutUnits[parts[2]])
	if ctx.Err() != nil {
		cancel()
		return nil, nil, status.Error(codes.DeadlineExceeded, "the deadline has passed")
	}
	return ctx, cancel, nil
}

func (s *plainServer) readMessage(request *http.Request) ([]byte, error) {
	var prefix [rawhttp2.PrefixBytes]byte
	switch _, err := io.ReadFull(request.Body, prefix[:]); {
	case errors.Is(err, io.EOF) && s.breaks(takesNoMessage), errors.Is(err, io.ErrUnexpectedEOF) && s.breaks(takesTruncatedPrefix):
		return goodMessage()
	case err != nil:
		return nil, status.Error(codes.InvalidArgument, "a call has one message")
	}
	compression := request.Header.Get("Grpc-Encoding")
	if err := s.checkFlag(prefix[0], compression); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(prefix[1:])
	if length > maxPlainMessageBytes && !s.breaks(waitsForAnyLength) {
		return nil, status.Error(codes.ResourceExhausted, "the message is too long")
	}
	message, err := io.ReadAll(io.LimitReader(request.Body, int64(length)))
	if err != nil {
		return nil, status.Error(codes.Canceled, "the client is gone")
	}
	if len(message) > maxPlainMessageBytes {
		return nil, status.Error(codes.ResourceExhausted, "the message is too long")
	}
	if len(message) < int(length) && !s.breaks(takesTruncatedMessage) {
		return nil, status.Error(codes.InvalidArgument, "the message is shorter than its length")
	}
	if err := s.checkEnd(request.Body); err != nil {
		return nil, err
	}
	if prefix[0] == 1 && s.takesCompressed(compression) {
		return goodMessage()
	}
	return message, nil
}

func (s *plainServer) checkFlag(flag byte, compression string) error {
	switch {
	case flag == 0, flag > 1 && s.breaks(takesAnyFlag):
		return nil
	case flag > 1:
		return status.Error(codes.InvalidArgument, "unknown flag")
	case s.takesCompressed(compression):
		return nil
	case compression == "gzip" && s.breaks(failsOnGzip):
		return status.Error(codes.Internal, "gzip")
	default:
		return status.Error(codes.Unimplemented, "messages are not taken compressed")
	}
}

func (s *plainServer) takesCompressed(compression string) bool {
	switch compression {
	case "":
		return s.breaks(takesFlagAlone)
	case "gzip":
		return s.breaks(takesGzip)
	default:
		return s.breaks(takesAnyCompression)
	}
}

func (s *plainServer) checkEnd(body io.Reader) error {
	rest, err := io.ReadAll(io.LimitReader(body, maxPlainMessageBytes))
	if err != nil {
		return status.Error(codes.Canceled, "the client is gone")
	}
	switch {
	case len(rest) == 0:
		return nil
	case len(rest) > 20 && s.breaks(takesTwoMessages), len(rest) <= 20 && s.breaks(takesAPartMore):
		return nil
	default:
		return status.Error(codes.InvalidArgument, "a call has one message, and nothing after it")
	}
}

// goodMessage stands for whatever a lax server would make of a call that holds no message.
func goodMessage() ([]byte, error) {
	return proto.Marshal(&kmsapi.EncryptRequest{Plaintext: make([]byte, conformance.SeedBytes), Uid: "lax"})
}

func (s *plainServer) call(ctx context.Context, path string, message []byte) (proto.Message, error) {
	const servicePath = "/v2.KeyManagementService/"
	switch {
	case strings.HasPrefix(path, "/kmsconformance") && s.breaks(knowsEveryService):
		return nil, status.Error(codes.Internal, "no such service")
	case path == servicePath+"Rotate" && s.breaks(knowsEveryMethod):
		return nil, status.Error(codes.Internal, "no such method")
	case strings.HasSuffix(path, "/Encrypt") && s.breaks(takesAnyPath):
		path = servicePath + "Encrypt"
	}
	handlers := plainHandlers{server: s, provider: s.provider}
	switch path {
	case servicePath + "Status":
		return handlers.status(ctx)
	case servicePath + "Encrypt":
		return handlers.encrypt(ctx, message)
	case servicePath + "Decrypt":
		return handlers.decrypt(ctx, message)
	default:
		return nil, status.Error(codes.Unimplemented, "no such method")
	}
}

type plainHandlers struct {
	server   *plainServer
	provider service.Service
}

func (h plainHandlers) status(ctx context.Context) (proto.Message, error) {
	answer, err := h.provider.Status(ctx)
	if err != nil {
		return nil, err
	}
	return &kmsapi.StatusResponse{Version: answer.Version, Healthz: answer.Healthz, KeyId: answer.KeyID}, nil
}

func (h plainHandlers) encrypt(ctx context.Context, message []byte) (proto.Message, error) {
	var request kmsapi.EncryptRequest
	if err := h.unmarshal(message, &request); err != nil {
		return nil, err
	}
	answer, err := h.provider.Encrypt(ctx, request.Uid, request.Plaintext)
	if err != nil {
		return nil, err
	}
	return &kmsapi.EncryptResponse{Ciphertext: answer.Ciphertext, KeyId: answer.KeyID, Annotations: answer.Annotations}, nil
}

func (h plainHandlers) decrypt(ctx context.Context, message []byte) (proto.Message, error) {
	var request kmsapi.DecryptRequest
	if err := h.unmarshal(message, &request); err != nil {
		return nil, err
	}
	plaintext, err := h.provider.Decrypt(ctx, request.Uid, &service.DecryptRequest{
		Ciphertext: request.Ciphertext, KeyID: request.KeyId, Annotations: request.Annotations,
	})
	if err != nil {
		return nil, err
	}
	return &kmsapi.DecryptResponse{Plaintext: plaintext}, nil
}

func (h plainHandlers) unmarshal(message []byte, into proto.Message) error {
	err := proto.Unmarshal(message, into)
	if err == nil {
		if len(into.ProtoReflect().GetUnknown()) > 0 && h.server.breaks(refusesUnknownFields) {
			return status.Error(codes.InvalidArgument, "unknown field")
		}
		return nil
	}
	if h.server.takesMalformed(message, err) {
		good, err := goodMessage()
		if err != nil {
			return err
		}
		return proto.Unmarshal(good, into)
	}
	return status.Error(codes.InvalidArgument, "malformed message")
}

func (s *plainServer) takesMalformed(message []byte, problem error) bool {
	switch {
	case strings.Contains(problem.Error(), "UTF-8"):
		return s.breaks(takesNotUTF8)
	case message[0] == 0xff:
		return s.breaks(takesNotProtobuf)
	default:
		return s.breaks(takesFieldPastEnd)
	}
}

func (s *plainServer) breaks(promise promise) bool { return s.broken == promise }
