// Package rawhttp2 speaks HTTP/2 and gRPC frame by frame, so that the kit can send what no well-behaved client sends.
package rawhttp2

import (
	"bytes"
	"context"
	"fmt"
	"net"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// maxFrameBytes is HTTP/2's smallest allowed maximum, which every peer takes (RFC 9113 section 6.5.2).
	maxFrameBytes = 16 << 10
	// hpackTableBytes is the size of a header table before any SETTINGS (RFC 9113 section 6.5.2).
	hpackTableBytes = 4096
)

// Connection is one connection on which nothing is sent unless asked for, beside the acknowledgements that
// [Connection.Await] sends. It is not safe for concurrent use.
type Connection struct {
	// Socket is for bytes that are no frames.
	Socket  net.Conn
	framer  *http2.Framer
	encoder *hpack.Encoder
	block   bytes.Buffer
	streams map[uint32]*Outcome
	goAway  *http2.ErrCode
	pongs   int
}

// Dial connects, and sends nothing. Reads and writes fail once ctx's deadline has passed.
func Dial(ctx context.Context, socketPath string) (*Connection, error) {
	var dialer net.Dialer
	socket, err := dialer.DialContext(ctx, "unix", socketPath)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := socket.SetDeadline(deadline); err != nil {
			_ = socket.Close() // The first error is the one to report.
			return nil, err
		}
	}
	connection := &Connection{Socket: socket, framer: http2.NewFramer(socket, socket), streams: map[uint32]*Outcome{}}
	connection.framer.ReadMetaHeaders = hpack.NewDecoder(hpackTableBytes, nil)
	connection.framer.AllowIllegalWrites = true
	connection.encoder = hpack.NewEncoder(&connection.block)
	return connection, nil
}

// Close ends the connection without a word.
func (c *Connection) Close() error { return c.Socket.Close() }

// Start sends the preface and our settings.
func (c *Connection) Start(settings ...http2.Setting) error {
	if _, err := c.Socket.Write([]byte(http2.ClientPreface)); err != nil {
		return err
	}
	return c.framer.WriteSettings(settings...)
}

// Settings sends a SETTINGS frame more.
func (c *Connection) Settings(settings ...http2.Setting) error {
	return c.framer.WriteSettings(settings...)
}

// Ping sends a PING with eight bytes of payload.
func (c *Connection) Ping(payload [8]byte) error { return c.framer.WritePing(false, payload) }

// GoAway says that we shall open no more streams.
func (c *Connection) GoAway() error { return c.framer.WriteGoAway(0, http2.ErrCodeNo, nil) }

// Reset cancels a stream.
func (c *Connection) Reset(stream uint32) error {
	return c.framer.WriteRSTStream(stream, http2.ErrCodeCancel)
}

// Field is one header field.
type Field struct{ Name, Value string }

// CallFields are the header fields of a well-formed gRPC call, with some replaced or added. A field with an empty value is
// left out.
func CallFields(path string, changed ...Field) []Field {
	fields := []Field{
		{":method", "POST"},
		{":scheme", "http"},
		{":path", path},
		{":authority", "localhost"},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
	}
	for _, change := range changed {
		fields = replace(fields, change)
	}
	return fields
}

func replace(fields []Field, change Field) []Field {
	for index, field := range fields {
		if field.Name != change.Name {
			continue
		}
		if change.Value == "" {
			return append(fields[:index:index], fields[index+1:]...)
		}
		fields[index] = change
		return fields
	}
	return append(fields, change)
}

// OpenStream sends HEADERS, and CONTINUATION frames where they need them.
func (c *Connection) OpenStream(stream uint32, fields []Field, endStream bool) error {
	block, err := c.encode(fields)
	if err != nil {
		return err
	}
	first, rest := cut(block)
	parameters := http2.HeadersFrameParam{StreamID: stream, BlockFragment: first, EndStream: endStream, EndHeaders: len(rest) == 0}
	if err := c.framer.WriteHeaders(parameters); err != nil {
		return err
	}
	for len(rest) > 0 {
		first, rest = cut(rest)
		if err := c.framer.WriteContinuation(stream, len(rest) == 0, first); err != nil {
			return err
		}
	}
	return nil
}

// OpenHeaders sends HEADERS without END_HEADERS: the peer waits for CONTINUATION frames.
func (c *Connection) OpenHeaders(stream uint32, fields []Field) error {
	block, err := c.encode(fields)
	if err != nil {
		return err
	}
	return c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block})
}

// Continue sends one CONTINUATION frame without END_HEADERS.
func (c *Connection) Continue(stream uint32, fields []Field) error {
	block, err := c.encode(fields)
	if err != nil {
		return err
	}
	return c.framer.WriteContinuation(stream, false, block)
}

func (c *Connection) encode(fields []Field) ([]byte, error) {
	c.block.Reset()
	for _, field := range fields {
		// A long value would push everything else out of the header table.
		tooLong := len(field.Value) > hpackTableBytes/8
		if err := c.encoder.WriteField(hpack.HeaderField{Name: field.Name, Value: field.Value, Sensitive: tooLong}); err != nil {
			return nil, fmt.Errorf("cannot encode header field %s: %w", field.Name, err)
		}
	}
	return bytes.Clone(c.block.Bytes()), nil
}

func cut(block []byte) (first, rest []byte) {
	length := min(len(block), maxFrameBytes)
	return block[:length], block[length:]
}

// Send sends one DATA frame, which may be empty.
func (c *Connection) Send(stream uint32, data []byte, endStream bool) error {
	return c.framer.WriteData(stream, endStream, data)
}

// SendPadded sends one DATA frame with padding.
func (c *Connection) SendPadded(stream uint32, data []byte, padding int, endStream bool) error {
	return c.framer.WriteDataPadded(stream, endStream, data, make([]byte, padding))
}
