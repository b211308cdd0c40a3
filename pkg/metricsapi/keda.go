package metricsapi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pdautoscaler/pdautoscaler/pkg/api/v1alpha1"
	"github.com/pdautoscaler/pdautoscaler/pkg/metricsapi/externalscaler"
)

// Keys of a trigger's metadata in a ScaledObject.
const (
	KeyAutoscaler = "pdautoscaler" // name of the PDAutoscaler, in the ScaledObject's namespace
	KeyRole       = "role"
	KeyMetric     = "metric"
	KeyTarget     = "target" // the target value; 1 for DesiredReplicas, and to be given for all others
)

// scaler answers KEDA.
type scaler struct {
	externalscaler.UnimplementedExternalScalerServer
	plans   *Plans
	changes *changes
	// stopping is closed when the server stops, so that streams end.
	stopping <-chan struct{}
}

// trigger is what a ScaledObject asks for.
type trigger struct {
	key    client.ObjectKey
	metric *Metric
	role   string
	target float64
}

// readTrigger checks the metadata. It reads nothing from the cluster: KEDA asks
// for the specs before it knows whether the rest is there.
func readTrigger(ref *externalscaler.ScaledObjectRef) (trigger, error) {
	data := ref.GetScalerMetadata()
	refuse := func(format string, args ...any) (trigger, error) {
		return trigger{}, status.Errorf(codes.InvalidArgument, "ScaledObject %s/%s: "+format, append([]any{ref.GetNamespace(), ref.GetName()}, args...)...)
	}
	t := trigger{key: client.ObjectKey{Namespace: ref.GetNamespace(), Name: data[KeyAutoscaler]}, role: data[KeyRole]}
	if t.key.Name == "" || t.key.Namespace == "" {
		return refuse("its trigger needs %s in its metadata, the name of a PDAutoscaler in the same namespace", KeyAutoscaler)
	}
	if t.metric = Lookup(data[KeyMetric]); t.metric == nil {
		return refuse("metric is %q in its trigger's metadata: allowed is one of %v", data[KeyMetric], names())
	}
	if !slices.Contains(t.metric.Roles, t.role) {
		if slices.Equal(t.metric.Roles, noRole) {
			return refuse("role is %q in its trigger's metadata: %s is of the whole service and takes none", t.role, t.metric.Name)
		}
		return refuse("role is %q in its trigger's metadata: of %s allowed is one of %v", t.role, t.metric.Name, t.metric.Roles)
	}
	text, given := data[KeyTarget]
	if !given && t.metric.Name == DesiredReplicas {
		text = "1"
	}
	var err error
	t.target, err = strconv.ParseFloat(text, 64)
	switch {
	case err != nil || !(t.target > 0) || math.IsInf(t.target, 0):
		return refuse("target is %q in its trigger's metadata: want a number above 0, the value of %s per replica to scale to", text, t.metric.Name)
	case t.metric.Name == DesiredReplicas && t.target != 1:
		return refuse("target is %q in its trigger's metadata: of %s only 1 is allowed, the metric is the number of replicas itself", text, t.metric.Name)
	}
	return t, nil
}

// GetMetricSpec names the one metric of a trigger, with its target.
func (*scaler) GetMetricSpec(_ context.Context, ref *externalscaler.ScaledObjectRef) (*externalscaler.GetMetricSpecResponse, error) {
	t, err := readTrigger(ref)
	if err != nil {
		return nil, err
	}
	return &externalscaler.GetMetricSpecResponse{MetricSpecs: []*externalscaler.MetricSpec{{
		MetricName: t.metric.Name, TargetSizeFloat: t.target, TargetSize: ceiling(t.target),
	}}}, nil
}

// GetMetrics returns the one value of a trigger.
func (s *scaler) GetMetrics(ctx context.Context, request *externalscaler.GetMetricsRequest) (*externalscaler.GetMetricsResponse, error) {
	t, err := readTrigger(request.GetScaledObjectRef())
	if err != nil {
		return nil, err
	}
	if name := request.GetMetricName(); name != t.metric.Name {
		return nil, status.Errorf(codes.InvalidArgument, "the metric %q is asked for and the trigger's is %s", name, t.metric.Name)
	}
	a, err := s.answer(ctx, t)
	s.plans.count(APIKEDA, t.metric.Name, a, err)
	if err != nil {
		return nil, grpcError(err)
	}
	v := number(a.value)
	return &externalscaler.GetMetricsResponse{MetricValues: []*externalscaler.MetricValue{{
		// A KEDA that does not know the float would read a missing integer as zero.
		MetricName: t.metric.Name, MetricValueFloat: v, MetricValue: ceiling(v),
	}}}, nil
}

// ceiling is the integer for a KEDA that knows no other: never less than the number.
func ceiling(v float64) int64 { return int64(math.Ceil(min(v, math.MaxInt32))) }

func (s *scaler) answer(ctx context.Context, t trigger) (answer, error) {
	pda, err := s.offered(ctx, t)
	if err != nil {
		return answer{}, err
	}
	return t.metric.answerOf(pda, t.role, s.plans.clock.Now())
}

// offered returns the resource of a trigger, if its plan is offered.
func (s *scaler) offered(ctx context.Context, t trigger) (*v1alpha1.PDAutoscaler, error) {
	pda, err := s.plans.get(ctx, t.key)
	if err != nil {
		return nil, err
	}
	one := series{t.metric, t.role, pda}
	_, err = pick(t.metric, []*v1alpha1.PDAutoscaler{pda}, one.selector(), "PDAutoscaler "+t.key.String())
	return pda, err
}

// IsActive says whether the plan has any replica for the trigger's role. What is
// not known is an error and never false: KEDA would scale to zero.
func (s *scaler) IsActive(ctx context.Context, ref *externalscaler.ScaledObjectRef) (*externalscaler.IsActiveResponse, error) {
	t, err := readTrigger(ref)
	if err != nil {
		return nil, err
	}
	active, err := s.active(ctx, t)
	if err != nil {
		return nil, grpcError(err)
	}
	return &externalscaler.IsActiveResponse{Result: active}, nil
}

// active is about the replicas, whatever the trigger's metric is; of a metric of
// the whole service it is about both roles.
func (s *scaler) active(ctx context.Context, t trigger) (bool, error) {
	pda, err := s.offered(ctx, t)
	if err != nil {
		return false, err
	}
	roles, replicas := []string{t.role}, Lookup(DesiredReplicas)
	if t.role == RoleNone {
		roles = bothRoles
	}
	active := false
	for _, role := range roles {
		a, err := replicas.answerOf(pda, role, s.plans.clock.Now())
		if err != nil {
			return false, err
		}
		active = active || a.value.Sign() > 0
	}
	return active, nil
}

// StreamIsActive says it at once where it is known, and again when it changes.
// While it is not known nothing is sent, so that KEDA stays with what it has.
func (s *scaler) StreamIsActive(ref *externalscaler.ScaledObjectRef, stream grpc.ServerStreamingServer[externalscaler.IsActiveResponse]) error {
	t, err := readTrigger(ref)
	if err != nil {
		return err
	}
	changed, stop := s.changes.watch(t.key)
	defer stop()
	var sent *bool
	for {
		if active, err := s.active(stream.Context(), t); err == nil && (sent == nil || *sent != active) {
			if err := stream.Send(&externalscaler.IsActiveResponse{Result: active}); err != nil {
				return err
			}
			sent = &active
		}
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-s.stopping:
			return status.Error(codes.Unavailable, "the server stops")
		case <-changed:
		}
	}
}

// grpcError gives an error the code that says whether to try again.
func grpcError(err error) error {
	unknown, refused := new(unknownError), new(refusedError)
	switch {
	case errors.As(err, &unknown):
		return status.Error(codes.Unavailable, unknown.why)
	case errors.As(err, &refused) && refused.missing:
		return status.Error(codes.NotFound, refused.why)
	case errors.As(err, &refused):
		return status.Error(codes.FailedPrecondition, refused.why)
	}
	return fmt.Errorf("KEDA could not be answered: %w", err)
}
