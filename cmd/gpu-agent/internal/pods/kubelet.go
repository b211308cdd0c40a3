package pods

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	podresources "k8s.io/kubelet/pkg/apis/podresources/v1"

	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/condition"
	"github.com/pdautoscaler/pdautoscaler/cmd/gpu-agent/internal/gpu"
)

const (
	// askTimeout bounds one question: the kubelet is on this machine.
	askTimeout = 3 * time.Second
	// maxListBytes is what the kubelet's own clients allow for a list.
	maxListBytes = 16 << 20
	// countsFor is how many intervals an answer counts: a device may be given to
	// another pod any time after the kubelet fell silent.
	countsFor = 3
)

// retry is how a kubelet that is gone is dialled: it is back within seconds of a
// restart, and gRPC's own longest wait is two minutes.
var retry = backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second}

// Config says where the kubelet is asked, and how often.
type Config struct {
	// Socket is the path of the kubelet's pod-resources socket.
	Socket   string
	Interval time.Duration
	// Resources are names of GPU resources besides NVIDIA's own.
	Resources []string
}

// Watcher keeps the owners of this node's GPUs. Run is its loop; Owner may be
// called by any goroutine meanwhile.
type Watcher struct {
	cfg    Config
	conn   *grpc.ClientConn
	client podresources.PodResourcesListerClient
	board  *condition.Board
	// within bounds one question: askTimeout, which a test of something else makes longer.
	within time.Duration

	mu     sync.Mutex
	owners Owners
	at     time.Time // when they were listed
}

// New returns a watcher that has asked nothing yet. The socket need not be there.
func New(cfg Config, board *condition.Board) (*Watcher, error) {
	if !strings.HasPrefix(cfg.Socket, "/") {
		return nil, fmt.Errorf("the kubelet's socket is %q: it must be an absolute path", cfg.Socket)
	}
	conn, err := grpc.NewClient("unix://"+cfg.Socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: retry, MinConnectTimeout: askTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxListBytes)))
	if err != nil {
		return nil, fmt.Errorf("the kubelet's socket %s cannot be used: %w", cfg.Socket, err)
	}
	return &Watcher{cfg: cfg, conn: conn, client: podresources.NewPodResourcesListerClient(conn), board: board, within: askTimeout}, nil
}

// Run asks until the context ends.
func (w *Watcher) Run(ctx context.Context) {
	defer w.conn.Close()
	tick := time.NewTicker(w.cfg.Interval)
	defer tick.Stop()
	for {
		w.ask(ctx, time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ask lists once and notes how that went.
func (w *Watcher) ask(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, w.within)
	defer cancel()
	list, err := w.client.List(ctx, &podresources.ListPodResourcesRequest{})
	if err != nil {
		w.board.Set(now, condition.Pods, false, condition.KubeletSilent, w.explain(err))
		return
	}
	owners := OwnersOf(list, GPUResources(w.cfg.Resources))
	w.mu.Lock()
	w.owners, w.at = owners, now
	w.mu.Unlock()
	message := fmt.Sprintf("pods hold %d GPUs and instances", owners.Devices())
	if len(owners.Unread) > 0 {
		message += fmt.Sprintf("; %d more allocations are of a kind that is not read, such as %s", len(owners.Unread), owners.Unread[0])
	}
	w.board.Set(now, condition.Pods, true, condition.Works, message)
}

// explain says in one sentence why there is no answer.
func (w *Watcher) explain(err error) string {
	_, missing := os.Stat(w.cfg.Socket)
	switch code := status.Code(err); {
	case errors.Is(missing, fs.ErrNotExist):
		return fmt.Sprintf("the kubelet's socket %s does not exist: mount its folder from the node, or switch pods off with --pod-resources \"\"", w.cfg.Socket)
	case code == codes.Unavailable:
		return fmt.Sprintf("the kubelet does not answer at %s: it is stopped, or the agent may not open the socket", w.cfg.Socket)
	case code == codes.DeadlineExceeded:
		return fmt.Sprintf("the kubelet did not answer at %s within %v", w.cfg.Socket, w.within)
	case code == codes.Unimplemented:
		return fmt.Sprintf("the kubelet at %s has no pod-resources API of version v1, which is there from Kubernetes 1.20 on", w.cfg.Socket)
	}
	return fmt.Sprintf("the kubelet at %s does not say which pods hold the GPUs: %s", w.cfg.Socket, status.Convert(err).Message())
}

// Owner returns who holds a device, as far as that is known at a time.
func (w *Watcher) Owner(d gpu.Device, now time.Time) (gpu.Owner, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at.IsZero() || now.Sub(w.at) > countsFor*w.cfg.Interval {
		return gpu.Owner{}, false
	}
	return w.owners.Of(d)
}
