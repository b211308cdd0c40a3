package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pdautoscaler/pdautoscaler/pkg/planner"
	"github.com/pdautoscaler/pdautoscaler/pkg/report"
)

// snapshotOptions are snapshot's flags.
type snapshotOptions struct {
	cluster clusterOptions
	// url is the controller's address; without it the API server's service proxy is asked.
	url, caFile, tokenFile string
	insecure               bool
	service                string // NAMESPACE/[SCHEME:]NAME:PORT
	last                   int
	file                   string
}

func newSnapshot(env environment) *cobra.Command {
	o := snapshotOptions{}
	cmd := &cobra.Command{
		Use:   "snapshot NAME",
		Short: "Save the last decision records from the controller",
		Long: `snapshot gets the last decision record of a PDAutoscaler (with --last, several) from the controller that
made it, checks that it can be read, and writes it as JSON, for pdctl explain --snapshot or for a bug report.
It holds the spec, what was seen of the service and the decision; no prompt and no credential.

The controller is asked at --url, with the bearer token of the kubeconfig (or --token-file), which must
be allowed to get the path /debug/decisions/*. Without --url it is asked through the API server's proxy to
--service. That proxy does not pass tokens on: it serves where the controller lets it in without one.

Exit codes: 0 saved; 2 wrong flags, or the file could not be written; 3 the controller could not be
asked or did not give a record.`,
		Example: `  kubectl port-forward -n pdautoscaler-system deploy/pdautoscaler 8443 &
  pdctl snapshot qwen3 -n default --url https://localhost:8443 --insecure -o last.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError("give the NAME of one PDAutoscaler; see %s --help", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0], env) },
	}
	f := cmd.Flags()
	o.addConnection(cmd)
	f.IntVar(&o.last, "last", 1, "how many of the last records; the controller keeps a bounded number")
	f.StringVarP(&o.file, "file", "o", "-", "file to write; - is standard output")
	return cmd
}

// addConnection adds the flags that say where the controller is.
func (o *snapshotOptions) addConnection(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.url, "url", "", "address of the controller's metrics server, such as https://localhost:8443")
	f.StringVar(&o.service, "service", "pdautoscaler-system/https:pdautoscaler:8443", "service to ask through the API server, as NAMESPACE/[https:]NAME:PORT")
	f.StringVar(&o.caFile, "certificate-authority", "", "file of the authority that signed the certificate at --url (default the system's)")
	f.BoolVar(&o.insecure, "insecure", false, "do not check the certificate at --url: only for a tunnel that you made")
	f.StringVar(&o.tokenFile, "token-file", "", "file of the bearer token for --url (default the kubeconfig's)")
	o.cluster.add(cmd)
}

// mostRecords is more than a controller keeps.
const mostRecords = 10_000

func (o *snapshotOptions) run(ctx context.Context, name string, env environment) error {
	records, err := o.records(ctx, name)
	if err != nil {
		return err
	}
	return o.save(records, env)
}

// records gets the last records from the controller.
func (o *snapshotOptions) records(ctx context.Context, name string) ([]planner.Record, error) {
	if o.url == "" && (o.caFile != "" || o.insecure || o.tokenFile != "") {
		return nil, usageError("--certificate-authority, --insecure and --token-file are about --url, which is not given")
	}
	if o.last < 1 {
		return nil, usageError("--last is %d: allowed is 1 or more", o.last)
	}
	if err := o.cluster.check(name); err != nil {
		return nil, err
	}
	config, err := o.cluster.config()
	if errors.Is(err, errNoCluster) && o.url != "" {
		// A controller on this machine may need no token, and then no cluster.
		config, err = &rest.Config{}, nil
		if o.cluster.namespace == "" {
			o.cluster.namespace = metav1.NamespaceDefault
		}
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.cluster.timeout)
	defer cancel()
	who := target{o.cluster.namespace, name, o.last}
	var data []byte
	if o.url != "" {
		data, err = o.fromURL(ctx, config, who)
	} else {
		data, err = o.throughProxy(ctx, config, who)
	}
	if err != nil {
		return nil, err
	}
	if bytes.Equal(bytes.Join(bytes.Fields(data), nil), []byte("[]")) {
		return nil, clusterError("the controller has made no decision of %s since it started", who)
	}
	records, err := report.ReadRecords(bytes.NewReader(data), "the controller's answer")
	if err != nil {
		return nil, clusterError("%w", err)
	}
	return records[max(0, len(records)-o.last):], nil
}

// save writes one record as an object and several as a list. What was not understood was refused before, so that nothing
// is lost by writing it again.
func (o *snapshotOptions) save(records []planner.Record, env environment) error {
	var what any = records
	if o.last == 1 {
		what = records[0]
	}
	out, err := json.MarshalIndent(what, "", "  ")
	if err != nil {
		return clusterError("the record cannot be written as JSON: %w", err)
	}
	out = append(out, '\n')
	if o.file == "-" {
		_, err = env.stdout.Write(out)
		return err
	}
	if err := writeFile(o.file, func(w io.Writer) error { _, err := w.Write(out); return err }); err != nil {
		return usageError("%w", err)
	}
	fmt.Fprintf(env.stderr, "%d of the last decisions saved in %s, the newest of %s\n", len(records), o.file,
		records[len(records)-1].Decision.At.UTC().Format("2006-01-02 15:04:05 UTC"))
	return nil
}

// target is whose records are wanted, and how many.
type target struct {
	namespace, name string
	last            int
}

func (t target) String() string { return "PDAutoscaler " + t.namespace + "/" + t.name }

// path is that of the controller's debug endpoint, without the leading slash.
func (t target) path() string {
	return "debug/decisions/" + url.PathEscape(t.namespace) + "/" + url.PathEscape(t.name)
}

// throughProxy asks the service through the API server.
func (o *snapshotOptions) throughProxy(ctx context.Context, config *rest.Config, who target) ([]byte, error) {
	namespace, service, _ := strings.Cut(o.service, "/")
	if parts := strings.Split(service, ":"); namespace == "" || slices.Contains(parts, "") || len(parts) != 2 &&
		(len(parts) != 3 || parts[0] != "https" && parts[0] != "http") {
		return nil, usageError("--service is %q: allowed is NAMESPACE/[https:]NAME:PORT", o.service)
	}
	client, err := rawClient(config)
	if err != nil {
		return nil, err
	}
	data, err := client.Get().AbsPath("/api/v1/namespaces", namespace, "services", service, "proxy", who.path()).
		Param("last", strconv.Itoa(who.last)).DoRaw(ctx)
	if err != nil {
		return nil, clusterError("the controller could not be asked for %s through the API server's proxy to service %s in %s: %w; that proxy passes no token on, so try --url and a port-forward",
			who, service, namespace, cause(err))
	}
	return data, nil
}

// maxAnswerBytes is far above any record.
const maxAnswerBytes = 64 << 20

// fromURL asks the controller itself, with the bearer token.
func (o *snapshotOptions) fromURL(ctx context.Context, config *rest.Config, who target) ([]byte, error) {
	address, err := url.Parse(o.url)
	if err != nil || address.Host == "" || address.Scheme != "https" && address.Scheme != "http" {
		return nil, usageError("--url is %q: allowed is such as https://localhost:8443", o.url)
	}
	if address.Scheme == "http" && !loopback(address.Hostname()) {
		return nil, usageError("--url is %q: a token goes over plain http to this machine only; allowed is https://...", o.url)
	}
	client, err := o.client(config)
	if err != nil {
		return nil, err
	}
	address = address.JoinPath(who.path())
	address.RawQuery = url.Values{"last": {strconv.Itoa(who.last)}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, usageError("--url is %q: %w", o.url, err)
	}
	response, err := client.Do(request)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, clusterError("%s gave no answer within %s", address.Host, o.cluster.timeout)
	case err != nil:
		return nil, clusterError("%s could not be asked: %w", address.Host, cause(err))
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return nil, clusterError("the answer of %s broke off: %w", address.Host, err)
	}
	switch response.StatusCode {
	case http.StatusOK:
		return data, nil
	case http.StatusNotFound:
		return nil, clusterError("the controller at %s has no decision of %s: %s", address.Host, who, firstLine(data))
	case http.StatusUnauthorized:
		return nil, clusterError("the controller at %s does not accept who you are: the kubeconfig's user needs a bearer token, or give --token-file", address.Host)
	case http.StatusForbidden:
		return nil, clusterError("the controller at %s does not let you read /%s: you need the right to get this non-resource URL", address.Host, who.path())
	}
	return nil, clusterError("%s answered %s: %s", address.Host, response.Status, firstLine(data))
}

// client sends the kubeconfig's bearer token, and nothing else of it, to the controller: the cluster's authority has not
// signed the controller's certificate, and a client certificate is of no use there.
func (o *snapshotOptions) client(config *rest.Config) (*http.Client, error) {
	own := rest.AnonymousClientConfig(config)
	own.TLSClientConfig = rest.TLSClientConfig{CAFile: o.caFile, Insecure: o.insecure}
	own.Proxy, own.Dial = nil, nil
	own.Timeout = o.cluster.timeout
	if o.tokenFile != "" {
		own.BearerTokenFile = o.tokenFile
		if _, err := os.Stat(o.tokenFile); err != nil {
			return nil, usageError("--token-file: %w", err)
		}
	} else {
		own.BearerToken, own.BearerTokenFile = config.BearerToken, config.BearerTokenFile
		own.ExecProvider, own.AuthProvider, own.AuthConfigPersister = config.ExecProvider, config.AuthProvider, config.AuthConfigPersister
	}
	client, err := rest.HTTPClientFor(own)
	if err != nil {
		return nil, usageError("the controller cannot be asked with these flags: %w", err)
	}
	// A redirect would carry the token to a place that nobody named.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func firstLine(data []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(data)), "\n")
	if len(line) > 200 {
		line = line[:200] + "..."
	}
	return line
}
