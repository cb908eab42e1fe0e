// From a job to its answer.
#pragma once

#include "serve/answer_job.h"
#include "serve/service.h"

namespace tern::serve {

/// Runs a job to its end and answers the exchange: whole, or as events. A stream's head is sent as soon as
/// the engine has taken the job, so errors up to there have a status of their own and later ones are events.
Task<void> RunJob(ServiceContext& context, Exchange& exchange, AnswerJob job);

}  // namespace tern::serve
