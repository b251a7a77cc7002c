package rawhttp2

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
)

// PrefixBytes is the length of what stands before each gRPC message: a flag (1) and the message's length (4).
const PrefixBytes = 5

// Message puts gRPC's prefix before a message.
func Message(payload []byte) []byte { return MessageClaiming(payload, uint32(len(payload)), false) }

// MessageClaiming puts a prefix before a message that need not be true.
func MessageClaiming(payload []byte, length uint32, compressed bool) []byte {
	prefixed := make([]byte, PrefixBytes, PrefixBytes+len(payload))
	if compressed {
		prefixed[0] = 1
	}
	binary.BigEndian.PutUint32(prefixed[1:], length)
	return append(prefixed, payload...)
}

// maxGunzippedBytes is far above any answer of a provider.
const maxGunzippedBytes = 1 << 20

func gunzip(compressed []byte) ([]byte, error) {
	reader, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(reader, maxGunzippedBytes))
}

// Gzip compresses a payload.
func Gzip(payload []byte) ([]byte, error) {
	var compressed bytes.Buffer
	writer := gzip.NewWriter(&compressed)
	if _, err := writer.Write(payload); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return compressed.Bytes(), nil
}
