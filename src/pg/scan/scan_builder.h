#pragma once

#include "pg/bridge/postgres.h"
#include "pg/scan/call_list.h"

extern "C" {
#include "nodes/plannodes.h"
}

namespace dlent::pg {

// Puts a Custom Scan (DlentScore) over a plan node whose output is still being decided. All functions here
// raise PostgreSQL errors: call them from frames without destructors.

struct RewriteContext {
    PlannedStmt* statement;
    int next_plan_node_id;
    double batched_cost;  ///< of the calls that were taken out of the plan, by the planner's estimate
};

struct ScanBuilder {
    List* calls;          ///< of ScoreCall*
    List* child_columns;  ///< of Expr*: what the child is to compute, in order
    List* passed;         ///< of int: attributes of the child that the scan tuple repeats after the scores
};

/// What the planner takes calls (of ScoreCall*) to cost a row.
double CostPerRow(const List* calls);

/// A builder for these calls, whose features are the child's first columns.
ScanBuilder BeginScan(List* calls);
/// Adds the calls' features to the child's columns.
void AddFeatures(ScanBuilder* builder);

/// The scan tuple's column that repeats `expression`, a value that only the child can compute.
Node* PassThrough(ScanBuilder* builder, Node* expression);
/// Rewrites an expression of the node for the scan tuple; `builder` is a ScanBuilder*. Only leaves are taken
/// from the child; everything else is computed above, when a row is emitted, exactly as often as before.
Node* LiftExpression(Node* node, void* builder);
/// The same for a targetlist.
List* LiftTargets(List* targets, ScanBuilder* builder);

/// Sets the child's output to the columns that the builder asks for; a table's stored tuple when that will
/// do. Returns where each asked column is then, or null when it is where it was asked.
AttrNumber* SetChildOutput(Plan* child, const ScanBuilder& builder, const RewriteContext& context);

/// Groups the calls by forward pass and makes the plan node over `child`, of which only the output has to be
/// set: the caller does, from builder->child_columns. Targetlist and filter are the caller's to set.
CustomScan* FinishScan(ScanBuilder* builder, Plan* child, const AttrNumber* renumbered);

/// Gives the node above what it knew about the node below.
void CopyPlanInfo(Plan* to, const Plan* from, RewriteContext* context);

Var* VarOf(int varno, int attribute, Node* expression);
List* TargetList(List* expressions);

}  // namespace dlent::pg
