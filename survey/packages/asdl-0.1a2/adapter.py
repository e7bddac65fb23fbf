"""ASDL 0.1a2 at the gate: its module is called asdfghjkl."""

from adapter.protocol import Skip, cell, serve
from adapter.torch_case import TorchCase
from asdfghjkl.hessian import hessian_for_loss


def answer(request):
    case = TorchCase(request)
    case.limit(1000)
    if request["measure"] != "hessian_trace":
        raise Skip(f"{request['measure']} is not asked of this version")
    if cell().endswith("data_loader"):
        if len(case.x) % 2:
            raise Skip("an odd number of samples makes no two batches of equal size")
        hessian_for_loss(case.net, case.loss, "full", data_loader=case.batches(len(case.x) // 2), stats_name="all")
        return {"value": float(case.net.all_hessian.data.trace())}
    hessian_for_loss(case.net, case.loss, "full", inputs=case.x, targets=case.y)
    return {"value": float(case.net.hessian.data.trace())}


serve(answer)
