// kms-conformance tests and loads any Kubernetes KMS v2 provider on a Unix socket.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"kms-conformance/internal/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := command.Execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
