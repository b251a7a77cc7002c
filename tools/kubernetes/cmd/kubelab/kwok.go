package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	genericapiserver "k8s.io/apiserver/pkg/server"
	kwoknode "sigs.k8s.io/kwok/kustomize/stage/node/fast"
	kwoklease "sigs.k8s.io/kwok/kustomize/stage/node/heartbeat-with-lease"
	kwokpod "sigs.k8s.io/kwok/kustomize/stage/pod/fast"
	kwokconfig "sigs.k8s.io/kwok/pkg/config"
	kwok "sigs.k8s.io/kwok/pkg/kwok/cmd"
	kwoklog "sigs.k8s.io/kwok/pkg/log"
)

// runKwok plays the kubelets: Nodes become Ready and Pods Running, though no container runs.
func runKwok() {
	// Kubernetes has put its own --version here, and KWOK brings another one.
	pflag.CommandLine = pflag.NewFlagSet("kwok", pflag.ExitOnError)
	flags := pflag.NewFlagSet("global", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	ctx, _ := kwoklog.InitFlags(genericapiserver.SetupSignalContext(), flags)
	ctx, err := kwokconfig.InitFlags(ctx, flags)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kubelab: kwok:", err)
		os.Exit(1)
	}
	command := kwok.NewCommand(ctx)
	command.PersistentFlags().AddFlagSet(flags)
	if err := command.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "kubelab: kwok:", err)
		os.Exit(1)
	}
}

// printKwokStages prints KWOK's own rules for how Nodes and Pods come up, for its --config: without them it does nothing.
func printKwokStages() {
	fmt.Println(strings.Join([]string{
		kwoknode.DefaultNodeInit,
		kwoklease.DefaultNodeHeartbeatWithLease,
		kwokpod.DefaultPodReady,
		kwokpod.DefaultPodComplete,
		kwokpod.DefaultPodDelete,
	}, "\n---\n"))
}
