// kubelab is one program that holds the real Kubernetes control plane and the tools to drive it, each as an ordinary Go
// module dependency. The first argument picks the part to run: `kubelab kube-apiserver …`. Called by the name of a part,
// as through a symbolic link, it is that part.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/etcdctl/v3/ctlv3"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// exitUsage is what a shell, too, answers to a command that was called wrongly.
const exitUsage = 2

// parts run to their end; each finds its arguments in os.Args, its own name first, as when it is a program of its own.
var parts = map[string]func(){
	"etcd":                    func() { etcdmain.Main(os.Args) },
	"etcdctl":                 ctlv3.MustStart,
	"kube-apiserver":          func() { runServer(apiserver.NewAPIServerCommand()) },
	"kube-controller-manager": func() { runServer(controllermanager.NewControllerManagerCommand()) },
	"kube-scheduler":          func() { runServer(scheduler.NewSchedulerCommand()) },
	"kubectl":                 runKubectl,
	"kwok":                    runKwok,
	"kwok-stages":             printKwokStages,
}

func main() {
	name := filepath.Base(os.Args[0])
	if _, isPart := parts[name]; !isPart {
		os.Args = os.Args[1:]
		if len(os.Args) == 0 {
			exitWithUsage("which part?")
		}
		name = os.Args[0]
	}
	run, isPart := parts[name]
	if !isPart {
		exitWithUsage(fmt.Sprintf("no part named %q", name))
	}
	run()
}

func exitWithUsage(problem string) {
	names := make([]string, 0, len(parts))
	for name := range parts {
		names = append(names, name)
	}
	slices.Sort(names)
	fmt.Fprintf(os.Stderr, "kubelab: %s\nusage: kubelab %s …\n", problem, strings.Join(names, "|"))
	os.Exit(exitUsage)
}

func runServer(command *cobra.Command) {
	os.Exit(cli.Run(command))
}

func runKubectl() {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}
