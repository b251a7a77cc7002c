package cases

import (
	"bytes"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"kms-conformance/internal/reference"
)

// ailment is what a hostile client does to others: it makes the next call that ends, on whatever connection, fail.
type ailment struct {
	calls atomic.Int64
	// othersOnly spares clients without a user-agent: those that send frames by hand.
	othersOnly bool
}

func (a *ailment) hits(ctx context.Context) bool {
	if headers, _ := metadata.FromIncomingContext(ctx); a.othersOnly && len(headers.Get("user-agent")) == 0 {
		return false
	}
	return a.calls.CompareAndSwap(1, 0)
}

func (a *ailment) strike() { a.calls.Store(1) }

func (a *ailment) intercept(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(server, &heldStream{ServerStream: stream, ailment: a})
}

// heldStream answers nothing while the provider is ill.
type heldStream struct {
	grpc.ServerStream
	ailment *ailment
}

func (s *heldStream) SendMsg(message any) error {
	if s.ailment.hits(s.Context()) {
		return status.Error(codes.Unavailable, "the provider is ill")
	}
	return s.ServerStream.SendMsg(message)
}

// watched makes a provider that falls ill on something that a client does.
func watched(what string, watch func(ill func()) *watcher, fails ...string) brokenProvider {
	return brokenProvider{what: what, fails: fails, serve: func(t *testing.T) testee {
		var ailment ailment
		return serveWatched(t, watch(ailment.strike), grpc.ChainStreamInterceptor(ailment.intercept))
	}}
}

// watchedByOthers is like watched, for what a client does with calls that are answered.
func watchedByOthers(what string, watch func(ill func()) *watcher, fails ...string) brokenProvider {
	return brokenProvider{what: what, fails: fails, serve: func(t *testing.T) testee {
		ailment := ailment{othersOnly: true}
		return serveWatched(t, watch(ailment.strike), grpc.ChainStreamInterceptor(ailment.intercept))
	}}
}

func serveWatched(t *testing.T, watch *watcher, options ...grpc.ServerOption) testee {
	t.Helper()
	own := newService(t)
	listener, path := listen(t)
	start(t, reference.NewServer(own, options...), watch.listener(listener))
	return testee{socketPath: path, rotate: func(context.Context) error { return own.Rotate() }}
}

// onFrame falls ill once for each connection on which a frame makes the condition true.
func onFrame(condition func(connection *watchedConnection, frame frame) bool) func(ill func()) *watcher {
	return func(ill func()) *watcher {
		return &watcher{saw: func(connection *watchedConnection, frame frame) {
			if !connection.told && condition(connection, frame) {
				connection.told = true
				ill()
			}
		}}
	}
}

func onBeginning(prefix string) func(ill func()) *watcher {
	return func(ill func()) *watcher {
		return &watcher{began: func(first []byte) {
			if bytes.HasPrefix(first, []byte(prefix)) {
				ill()
			}
		}}
	}
}

// onClosed falls ill once when so many connections were closed that meet the condition.
func onClosed(count int, condition func(connection *watchedConnection) bool) func(ill func()) *watcher {
	return func(ill func()) *watcher {
		seen := 0
		return &watcher{closed: func(connection *watchedConnection, _ int) {
			if condition(connection) {
				seen++
				if seen == count {
					ill()
				}
			}
		}}
	}
}

func manyOf(kind http2.FrameType, count int) func(connection *watchedConnection, frame frame) bool {
	return func(connection *watchedConnection, _ frame) bool { return connection.counts[kind] >= count }
}

func connectionFaults() []brokenProvider {
	return append(floodFaults(),
		watched("cannot take a message byte by byte", onFrame(func(connection *watchedConnection, frame frame) bool {
			stream := connection.streams[frame.stream]
			return frame.length == 1 && stream.dataFrames > 20
		}), "grpc/many-data-frames"),
		watched("cannot take an empty DATA frame", onFrame(func(connection *watchedConnection, frame frame) bool {
			return frame.kind == http2.FrameData && frame.length == 0 && connection.dataSize > 5 && !frame.flags.Has(http2.FlagDataEndStream)
		}), "grpc/empty-data-frames"),
		watched("cannot take padding", onFrame(func(_ *watchedConnection, frame frame) bool {
			return frame.kind == http2.FrameData && frame.flags.Has(http2.FlagDataPadded)
		}), "grpc/padded-data-frames"),
		watched("cannot keep to a small window", onFrame(func(_ *watchedConnection, frame frame) bool { return windowSetting(frame) == smallWindowBytes }),
			"grpc/small-window"),
		watchedByOthers("cannot bear a client that never reads", onFrame(func(connection *watchedConnection, frame frame) bool {
			if windowSetting(frame) == 0 {
				connection.dataSize = -1 << 30
			}
			return connection.dataSize < 0 && connection.counts[http2.FrameHeaders] > 50
		}), "http2/never-reading-client"),
		brokenProvider{what: "falls ill from a large message", fails: []string{"grpc/large-message", "grpc/large-message/code"}, serve: func(t *testing.T) testee {
			var ailment ailment
			watch := onFrame(func(connection *watchedConnection, frame frame) bool {
				return connection.streams[frame.stream].dataBytes > 5<<20
			})
			return serveWatched(t, watch(ailment.strike), grpc.ChainStreamInterceptor(ailment.intercept), grpc.MaxRecvMsgSize(64<<20))
		}},
		brokenProvider{what: "drops the connection of a large message", fails: []string{"grpc/large-message/code"}, serve: func(t *testing.T) testee {
			return serveWatched(t, &watcher{saw: func(connection *watchedConnection, frame frame) {
				if stream := connection.streams[frame.stream]; stream.dataBytes > 5<<20 {
					_ = connection.Conn.Close() // Closing it twice does no harm.
				}
			}}, grpc.MaxRecvMsgSize(64<<20))
		}},
		watched("falls ill from garbage", onBeginning("\xff"), "http2/garbage"),
		watched("falls ill from HTTP/1.1", onBeginning("GET "), "http2/http1-request"),
		watched("serves 900 connections and no more", func(ill func()) *watcher {
			return &watcher{opened: func(open int) {
				if open == 900 {
					ill()
				}
			}}
		}, "http2/idle-connections"),
		watched("serves 150 idle sessions and no more", func(ill func()) *watcher {
			idle := 0
			return &watcher{
				saw: func(connection *watchedConnection, frame frame) {
					switch {
					case frame.kind == http2.FrameSettings && !connection.told:
						connection.told = true
						idle++
						if idle == 150 {
							ill()
						}
					case frame.kind == http2.FrameHeaders && connection.counts[http2.FrameHeaders] == 1:
						idle--
					}
				},
				closed: func(connection *watchedConnection, _ int) {
					if connection.told && connection.counts[http2.FrameHeaders] == 0 {
						idle--
					}
				},
			}
		}, "http2/idle-sessions"),
		watched("serves 80 unfinished calls and no more", onFrame(func(connection *watchedConnection, _ frame) bool {
			return connection.counts[http2.FrameHeaders] > 80 && connection.counts[http2.FrameRSTStream] == 0 && connection.unfinished() > 80
		}), "http2/unfinished-calls"),
		watched("falls ill from connections that break off", onClosed(150, func(connection *watchedConnection) bool {
			return connection.counts[http2.FrameHeaders] == 1 && connection.unfinished() == 1
		}), "http2/broken-off"),
		watched("falls ill after 300 short connections", onClosed(300, func(connection *watchedConnection) bool {
			return connection.counts[http2.FrameHeaders] == 1 && connection.counts[http2.FrameGoAway] == 1
		}), "http2/churn"),
		watched("drops calls under way at GOAWAY", onFrame(func(connection *watchedConnection, frame frame) bool {
			return frame.kind == http2.FrameGoAway && connection.counts[http2.FrameHeaders] == 1 && connection.counts[http2.FrameData] == 0
		}), "http2/goaway"),
		watched("falls ill from calls taken back", onFrame(func(connection *watchedConnection, _ frame) bool {
			return connection.counts[http2.FrameRSTStream] >= 45 && connection.unfinished() >= 45
		}), "grpc/cancelled-calls-do-no-harm"),
		fallsIllFromShortDeadlines(),
		fallsIllFromCancelledCalls(),
		keepsOtherConnectionsOpen(),
	)
}

func floodFaults() []brokenProvider {
	return []brokenProvider{
		watched("falls ill from SETTINGS", onFrame(manyOf(http2.FrameSettings, 1000)), "http2/settings-flood"),
		watched("falls ill from PINGs", onFrame(func(connection *watchedConnection, frame frame) bool {
			return frame.kind == http2.FramePing && connection.counts[http2.FramePing] == 5000
		}), "http2/ping-flood"),
		watched("falls ill from a PING before the first call", onFrame(func(connection *watchedConnection, frame frame) bool {
			return frame.kind == http2.FramePing && connection.counts[http2.FrameHeaders] == 0
		}), "http2/ping", "http2/keepalive-pings", "http2/ping-flood"),
		watched("falls ill from resets", onFrame(manyOf(http2.FrameRSTStream, 5000)), "http2/rapid-reset"),
		watched("falls ill from empty DATA", onFrame(manyOf(http2.FrameData, 5000)), "http2/empty-data-flood"),
		watched("falls ill from CONTINUATIONs", onFrame(func(connection *watchedConnection, frame frame) bool {
			return frame.length < 10<<10 && connection.counts[http2.FrameContinuation] >= 2
		}), "http2/continuation-flood"),
		{what: "takes a large header list", fails: []string{"http2/large-header-list"}, serve: func(t *testing.T) testee {
			own := newService(t)
			return serveReference(t, own, own, grpc.MaxHeaderListSize(4<<20))
		}},
	}
}

func fallsIllFromShortDeadlines() brokenProvider {
	return brokenProvider{what: "falls ill from short deadlines", fails: []string{"grpc/short-deadlines-do-no-harm"}, serve: func(t *testing.T) testee {
		own := newService(t)
		var short atomic.Int64
		return serveReference(t, own, own, grpc.ChainStreamInterceptor(
			func(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
				deadline, ok := stream.Context().Deadline()
				if ok && time.Until(deadline) < 10*time.Millisecond {
					short.Add(1)
				} else if short.Load() >= 5 {
					short.Store(-1 << 30)
					return status.Error(codes.Unavailable, "the provider is ill")
				}
				return handler(server, stream)
			}))
	}}
}

func fallsIllFromCancelledCalls() brokenProvider {
	return brokenProvider{what: "falls ill from cancelled calls", fails: []string{"grpc/cancelled-by-client"}, serve: func(t *testing.T) testee {
		own := newService(t)
		var patient sync.RWMutex
		var ill, recovered atomic.Bool
		return serveReference(t, own, own, grpc.ChainStreamInterceptor(
			func(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
				if isPatientCall(stream.Context()) {
					patient.RLock()
					defer patient.RUnlock()
					select {
					case <-stream.Context().Done():
						ill.Store(true)
					case <-time.After(20 * time.Millisecond):
					}
				} else if isOrdinaryCall(stream.Context()) {
					patient.Lock() // Until all patient calls have ended: whether one was cancelled is known then.
					defer patient.Unlock()
					if ill.Load() && recovered.CompareAndSwap(false, true) {
						return status.Error(codes.Unavailable, "the provider is ill")
					}
				}
				return handler(server, stream)
			}))
	}}
}

// isOrdinaryCall tells calls with the deadline of settingsFor from those with a shorter or longer one, or none.
func isOrdinaryCall(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) > 100*time.Millisecond && time.Until(deadline) < 5*time.Second
}

// isPatientCall tells calls that have a case's whole time: those that the client means to cancel.
func isPatientCall(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) >= 5*time.Second
}

// keepsOtherConnectionsOpen never ends a connection that does not become HTTP/2.
func keepsOtherConnectionsOpen() brokenProvider {
	return brokenProvider{what: "keeps connections open that are not HTTP/2", fails: []string{"http2/garbage", "http2/http1-request"}, serve: func(t *testing.T) testee {
		own := newService(t)
		listener, path := listen(t)
		start(t, reference.NewServer(own), &patientListener{Listener: listener})
		return testee{socketPath: path, rotate: func(context.Context) error { return own.Rotate() }}
	}}
}

type patientListener struct{ net.Listener }

func (l *patientListener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &patientConnection{Conn: connection}, nil
}

// patientConnection goes on reading for ever where HTTP/2 does not begin.
type patientConnection struct {
	net.Conn
	begun bool
}

func (c *patientConnection) Read(into []byte) (int, error) {
	length, err := c.Conn.Read(into)
	for !c.begun && err == nil && into[0] != 'P' {
		length, err = c.Conn.Read(into)
	}
	c.begun = true
	return length, err
}
