package signals

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"
)

// faults are what readers of these metrics were seen to do wrong, and what the
// sources are known to do to them, each with the tests that hold it off. The numbers F… are
// those of the list of other autoscalers' faults. A test of another package is named with its folder.
var faults = []struct {
	fault string
	tests []string
}{
	{"F1: a failed or empty query is read as zero demand", []string{"TestF1FailureIsNotZeroDemand", "TestF1PrometheusOutageIsNotZero"}},
	{"F2: idle gives NaN and never scales down", []string{"TestF2IdleIsAConfirmedZero", "TestF2IdleThroughPrometheusIsAConfirmedZero"}},
	{"F3: a request counts twice because prefill and decode export it", []string{"TestF3RequestsAreCountedOnce", "TestEveryEngineReadsTheSame"}},
	{"F4: latencies are averaged over series, or a mean stands for a percentile", []string{"TestF4QuantilesAreOfRequestsNotOfPods"}},
	{"F12: one pod without metrics hides the others", []string{"TestF12OnePodWithoutMetrics", "TestOneQueryThatHangsBlocksNoOther"}},
	{"F15: the mean and the total of a metric are mixed up", []string{"TestF15TotalsAreSumsAndSharesAreMeans"}},
	{"F21: decode's lack of room is read as prefill's queue", []string{"TestQueuesOfDisaggregatedSGLang", "TestPrefillWaitingInEnginesAndRouter"}},
	{"F25: one role is judged by the other's latency", []string{"TestF25EachRoleIsReadForItsOwn"}},
	{"F26: the ranks of one engine count as engines", []string{"TestRanksOfOneEngineCountOnce", "TestSeveralEnginesInAPod"}},
	{"F27: names that no engine exports are asked for", []string{"TestF27NamesThatAreNotExported", "TestF27SGLangNamesHoldAColon"}},
	{"F28: one deadline for all, one after the other", []string{"TestF28PodsThatHangBlockNobody", "TestOneQueryThatHangsBlocksNoOther", "TestEtcdThatIsAway"}},
	{"F33: a follower's or a stream's number is taken for the depth", []string{"TestF33QueueDepth", "TestF33EveryServerGivesTheLeadersDepth", "TestF33FollowersAreNotBelieved"}},

	{"demand is what finishes, which falls when the service is stuck", []string{"TestDemandIsWhatArrivesNotWhatIsFinished", "TestDemandPrefersStarted"}},
	{"the mean over pods hides the fullest", []string{"TestKVUseIsMeanAndFullest"}},
	{"a name changed between versions", []string{"TestDescribeSaysWhichSpellingMatched", "TestReportSaysWhichSpellingMatched", "TestGrowthDoesNotCrossNames", "TestLatencyDoesNotMixNames"}},
	{"counters come up only with their first event", []string{"TestCountersThatComeUpLate", "TestDemandCountsTheFirstRequestOfANewSeries"}},
	{"the frontend writes the model's name in lower case", []string{"TestDemandOfOneModel"}},
	{"a gauge stands beside its own parts", []string{"TestPartsAreNotAddedToTheirTotal"}},
	{"with speculative decoding a step is not a token", []string{"TestSpeculativeDecoding"}},

	{"the first bucket hides the value", []string{"TestLatencyBelowTheFirstBucketIsABound"}},
	{"the quantile lies above the last bound", []string{"TestLatencyWithAnEndlessBound", "TestQuantile"}},
	{"a rate is taken over a restart", []string{"TestDemandOverARestart", "TestLatencyOverARestart", "TestPrometheusOverARestart", "TestBucketsMinusKnowsARestart"}},
	{"a gap in a series is taken for traffic", []string{"TestGapInASeriesIsNotTraffic"}},
	{"the lookback shows a dead pod's gauge", []string{"TestDeadPodsGaugeDoesNotStay", "test/signals.TestDeadPod"}},
	{"200 with warnings or in part is taken for the whole", []string{"TestWarningsAreNoReasonToScaleDown", "TestPartialZeroIsUnknown"}},
	{"labels are renamed by the scrape configuration", []string{"TestGPUsThroughPrometheusInAllSpellings", "TestActivityOfTheRolesGPUs", "TestPrometheusSaysWhatThePodsSay"}},
	{"every series is there twice", []string{"TestDuplicateSeriesCountOnce", "TestParseCountsEqualDuplicatesOnce", "TestDuplicateTargetsCountOnce"}},
	{"an old sample passes for a new one", []string{"TestReadingsAreAsOldAsThePageSays", "TestScrapesThatStop"}},
	{"scrapes come late", []string{"TestLateScrapes"}},
	{"clocks differ, or go back", []string{"TestClockSkew", "TestClockGoesBack"}},
	{"NaN, infinities and negative values", []string{"TestValuesThatAreNoNumbers", "TestParseMarksSeriesThatCannotBeUsed"}},
	{"a page is huge, cut off, or none", []string{"TestPagesThatAreRefused", "TestParseRefusesPagesThatAreNone"}},
	{"a new pod has the name of an old one", []string{"TestDemandTellsPodsByUID"}},
	{"credentials go to another host", []string{"TestCredentialsStayWithTheirHost", "TestNoProxyIsUsed", "pkg/controller.TestCredentialsThatAreRefused"}},

	{"messages expire, and the empty queue passes for work done", []string{"TestMessagesThatExpire", "TestMessagesThatAreLostAmongOthers"}},
	{"the leader of the queue changes", []string{"TestLeaderStepsDownWhileTheQueueIsRead"}},
	{"the queue is not there yet, or under another name", []string{"TestServerComesLate", "TestQueueOfAnotherVersionIsDetected"}},
	{"a queue's length passes for its work", []string{"TestQueueAsWork"}},

	{"profiling fields are missing", []string{"TestGPUsWithoutProfilingFields", "TestActivityThatIsNotThere", "pkg/controller.TestConditionOfTheGPUsActivity"}},
	{"blank values of DCGM reach arithmetic", []string{"TestActivityOfTheRolesGPUs"}},
	{"a GPU counts for the pod that had it", []string{"TestGPUThatChangedHands"}},
	{"registrations outlive their workers", []string{"test/signals.TestRegisteredWorkers"}},
}

// Each of them has its tests.
func TestEveryKnownFaultHasATest(t *testing.T) {
	known := map[string]bool{}
	for prefix, folder := range map[string]string{"": ".", "test/signals.": "../../test/signals", "pkg/controller.": "../controller"} {
		files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", folder, files, err)
		}
		for _, path := range files {
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
					known[prefix+f.Name.Name] = true
				}
			}
		}
	}
	for _, f := range faults {
		if len(f.tests) == 0 {
			t.Errorf("nothing holds off: %s", f.fault)
		}
		for _, name := range f.tests {
			if !known[name] {
				t.Errorf("there is no %s, which was to hold off: %s", name, f.fault)
			}
		}
	}
}
