package cases

import (
	"encoding/binary"
	"net"
	"sync"

	"golang.org/x/net/http2"
)

// frame is the head of a frame that a client sent, and the payload of those that are short.
type frame struct {
	kind    http2.FrameType
	flags   http2.Flags
	stream  uint32
	length  int
	payload []byte
}

// maxKeptPayload is enough for SETTINGS.
const maxKeptPayload = 64

// watcher sees what all clients of a listener send. Its functions are called under one lock; those that are nil see nothing.
type watcher struct {
	mutex sync.Mutex
	// opened and closed are told of connections, with how many are open now.
	opened func(open int)
	closed func(connection *watchedConnection, open int)
	// began is told the first bytes of a connection.
	began func(first []byte)
	// saw is told each frame.
	saw  func(connection *watchedConnection, frame frame)
	open int
}

func (w *watcher) listener(inner net.Listener) net.Listener {
	return &watchedListener{Listener: inner, watcher: w}
}

type watchedListener struct {
	net.Listener
	watcher *watcher
}

func (l *watchedListener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.watcher.mutex.Lock()
	defer l.watcher.mutex.Unlock()
	l.watcher.open++
	if l.watcher.opened != nil {
		l.watcher.opened(l.watcher.open)
	}
	return &watchedConnection{Conn: connection, watcher: l.watcher, counts: map[http2.FrameType]int{}, streams: map[uint32]*watchedStream{}}, nil
}

// watchedConnection is one connection, and what came on it so far.
type watchedConnection struct {
	net.Conn
	watcher  *watcher
	buffered []byte
	begun    bool
	counts   map[http2.FrameType]int
	streams  map[uint32]*watchedStream
	dataSize int
	once     sync.Once
	// told is for the watcher's functions: whether they have acted on this connection.
	told bool
}

// watchedStream is what came on one stream so far.
type watchedStream struct {
	dataFrames int
	dataBytes  int
	ended      bool
}

func (c *watchedConnection) Read(into []byte) (int, error) {
	length, err := c.Conn.Read(into)
	c.watcher.mutex.Lock()
	defer c.watcher.mutex.Unlock()
	c.take(into[:length])
	return length, err
}

func (c *watchedConnection) Close() error {
	c.once.Do(func() {
		c.watcher.mutex.Lock()
		defer c.watcher.mutex.Unlock()
		c.watcher.open--
		if c.watcher.closed != nil {
			c.watcher.closed(c, c.watcher.open)
		}
	})
	return c.Conn.Close()
}

func (c *watchedConnection) take(content []byte) {
	c.buffered = append(c.buffered, content...)
	if !c.begun && len(c.buffered) >= len(http2.ClientPreface) {
		c.begun = true
		if c.watcher.began != nil {
			c.watcher.began(c.buffered[:len(http2.ClientPreface)])
		}
		c.buffered = c.buffered[len(http2.ClientPreface):]
	}
	const headBytes = 9
	for c.begun && len(c.buffered) >= headBytes {
		length := int(binary.BigEndian.Uint32(append([]byte{0}, c.buffered[:3]...)))
		if len(c.buffered) < headBytes+length {
			return
		}
		payload := c.buffered[headBytes : headBytes+length]
		c.see(frame{
			kind: http2.FrameType(c.buffered[3]), flags: http2.Flags(c.buffered[4]),
			stream: binary.BigEndian.Uint32(c.buffered[5:headBytes]), length: length, payload: payload[:min(length, maxKeptPayload)],
		})
		c.buffered = c.buffered[headBytes+length:]
	}
}

func (c *watchedConnection) see(frame frame) {
	c.counts[frame.kind]++
	if c.streams[frame.stream] == nil {
		c.streams[frame.stream] = &watchedStream{}
	}
	stream := c.streams[frame.stream]
	if frame.kind == http2.FrameData {
		stream.dataFrames++
		stream.dataBytes += frame.length
		c.dataSize += frame.length
	}
	if frame.kind == http2.FrameData || frame.kind == http2.FrameHeaders {
		stream.ended = stream.ended || frame.flags.Has(http2.FlagDataEndStream)
	}
	if c.watcher.saw != nil {
		c.watcher.saw(c, frame)
	}
}

// unfinished counts the streams with some DATA and no end.
func (c *watchedConnection) unfinished() (count int) {
	for _, stream := range c.streams {
		if stream.dataFrames > 0 && !stream.ended {
			count++
		}
	}
	return count
}

// windowSetting is the flow-control window that a SETTINGS frame sets, or -1.
func windowSetting(frame frame) int {
	if frame.kind != http2.FrameSettings {
		return -1
	}
	const settingBytes = 6
	for at := 0; at+settingBytes <= len(frame.payload); at += settingBytes {
		if http2.SettingID(binary.BigEndian.Uint16(frame.payload[at:])) == http2.SettingInitialWindowSize {
			return int(binary.BigEndian.Uint32(frame.payload[at+2:]))
		}
	}
	return -1
}
