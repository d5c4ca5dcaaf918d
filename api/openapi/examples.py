"""Examples of what is sent and answered; a test holds them against the schemas and the server."""

from collections.abc import Mapping
from typing import Any

from models import JSONObject

_VARIANT: JSONObject = {
    "id": 31,
    "options": {"Size": "250 g", "Grind": "Beans"},
    "sku": "COF-CB-250-B",
    "price": "9.50",
    "compare_at_price": None,
    "barcode": "2000000000015",
    "weight_grams": 270.0,
    "stock": 140,
    "backorder": False,
}
_LARGE = {
    "options": {"Size": "1 kg", "Grind": "Beans"},
    "sku": "COF-CB-1000-B",
    "price": "32.00",
    "compare_at_price": "36.00",
}
_PRODUCT: JSONObject = {
    "id": 17,
    "handle": "corner-blend",
    "name": "Corner Blend",
    "description": "<p>Our house roast: cocoa, hazelnut, and no fuss.</p>",
    "status": "active",
    "vendor": "Pushcart Roasters",
    "category": "Drinks > Coffee",
    "tags": ["coffee", "house roast"],
    "options": ["Size", "Grind"],
    "images": [{"url": "https://example.com/images/corner-blend.jpg", "alt": None}],
    "metadata": {"roast": {"level": 3}},
    "variants": [
        _VARIANT,
        {**_VARIANT, **_LARGE, "id": 32, "barcode": None, "weight_grams": None, "stock": None},
    ],
    "version": 1,
    "created_at": "2026-11-21T09:30:00.000000Z",
    "updated_at": "2026-11-21T09:30:00.000000Z",
}
_GIVEN = ("id", "version", "created_at", "updated_at")  # by the server

_KEY: JSONObject = {
    "id": 3,
    "prefix": "pushcart_1f2e3d4c",
    "name": "Shop front",
    "scopes": ["products:read"],
    "created_by": "admin",
    "created_at": "2026-11-21T09:30:00.000000Z",
    "expires_at": None,
    "last_used_at": None,
    "revoked_at": None,
}

_EVENT: JSONObject = {
    "id": "evt_4711",
    "type": "product.updated",
    "timestamp": "2026-11-21T09:30:00.000000Z",
    "data": {"id": 17, "handle": "corner-blend", "status": "active", "version": 4},
}

_WEBHOOK: JSONObject = {
    "id": 2,
    "url": "https://erp.example/hooks/pushcart",
    "types": ["product.updated", "stock.changed"],
    "enabled": True,
    "disabled_because": None,
    "failures": 0,
    "paused_until": None,
    "created_at": "2026-11-21T09:30:00.000000Z",
    "updated_at": "2026-11-21T09:30:00.000000Z",
}

_NEW_PRODUCT = {
    **{name: value for name, value in _PRODUCT.items() if name not in _GIVEN},
    "variants": [{n: v for n, v in _VARIANT.items() if n != "id"}, _LARGE],
}

_TIME = "2026-11-21T09:30:00.000000Z"
_ORDER: JSONObject = {
    "id": "0f8e7d6c5b4a39281706f5e4d3c2b1a0",
    "status": "confirmed",
    "email": "ada@example.com",
    "note": "Please ring twice.",
    "metadata": {"channel": "web"},
    "lines": [
        {
            "product_id": 17,
            "variant_id": 31,
            "sku": "COF-CB-250-B",
            "name": "Corner Blend",
            "options": {"Size": "250 g", "Grind": "Beans"},
            "quantity": 2,
            "unit_price": "9.50",
            "total": "19.00",
        }
    ],
    "currency": "USD",
    "total": "19.00",
    "created_at": _TIME,
    "updated_at": _TIME,
    "canceled_at": None,
    "confirmation": {"status": "sent", "reason": None, "sent_at": "2026-11-21T09:30:02.000000Z"},
}

# Component: its examples, each under its title.
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "Product": {"a product": _PRODUCT},
    "ProductInput": {
        "the least": {"name": "Flat White", "price": "3.50", "stock": 12, "tags": ["coffee"]},
        "with variants": _NEW_PRODUCT,
    },
    "ProductReplacement": {"the whole of a product": _NEW_PRODUCT},
    "ProductPatch": {
        "a price and a vendor": {"price": "3.80", "vendor": "Pushcart"},
        "one of several variants": {"variants": [{"sku": "COF-CB-250-B", "stock": 139}]},
        "take a value away": {"description": None, "metadata": {"roast": None}},
    },
    "BatchInput": {
        "prices and stock by SKU": {
            "products": [
                {"sku": "COF-CB-250-B", "price": "9.80", "stock": 139},
                {"sku": "COF-FW-1", "stock": None},
            ]
        },
        "one changed, one new": {
            "mode": "partial",
            "products": [
                {"id": 17, "vendor": None},
                {"handle": "flat-white", "name": "Flat White", "price": "3.50"},
            ],
        },
    },
    "SkuVariant": {
        "a variant": {**_VARIANT, "product_id": 17, "product_handle": "corner-blend"},
    },
    "SkuVariantPatch": {"sold one": {"stock": 139}, "not tracked": {"stock": None}},
    "Job": {
        "a running import": {
            "id": 7,
            "kind": "import",
            "status": "running",
            "ready": False,
            "successful": False,
            "progress": {
                "total": 37,
                "processed": 20,
                "created": 9,
                "updated": 1,
                "unchanged": 0,
                "failed": 1,
            },
            "eta_seconds": 2,
            "attempts": 1,
            "created_at": "2026-11-21T09:30:00.000000Z",
            "started_at": "2026-11-21T09:30:00.250000Z",
            "finished_at": None,
            "error": None,
            "result": None,
            "links": {
                "self": "https://shop.example/api/v1/jobs/7",
                "errors": "https://shop.example/api/v1/jobs/7/errors",
                "cancel": "https://shop.example/api/v1/jobs/7/cancel",
            },
        }
    },
    "Event": {"a change": _EVENT},
    "Webhook": {"a webhook": _WEBHOOK},
    "NewWebhook": {"a webhook, this once": {**_WEBHOOK, "secret": f"whsec_{'MDEyMzQ1' * 5}Njc="}},
    "WebhookInput": {
        "for some types": {name: _WEBHOOK[name] for name in ("url", "types")},
        "for everything": {"url": "https://erp.example/hooks/pushcart"},
    },
    "WebhookPatch": {"enabled again": {"enabled": True}, "for everything": {"types": None}},
    "Delivery": {
        "one that was taken": {
            "id": 93,
            "webhook_id": 2,
            "event_id": "evt_4711",
            "type": "product.updated",
            "status": "delivered",
            "attempts": 2,
            "due_at": "2026-11-21T09:30:08.000000Z",
            "response_status": 204,
            "response": "",
            "error": None,
            "created_at": "2026-11-21T09:30:01.000000Z",
            "attempted_at": "2026-11-21T09:30:08.000000Z",
        }
    },
    "ReplayInput": {"from an event on": {"event_id": "evt_4711"}},
    "OrderInput": {
        "by SKU": {
            "email": "ada@example.com",
            "lines": [{"sku": "COF-CB-250-B", "quantity": 2}],
            "note": "Please ring twice.",
            "metadata": {"channel": "web"},
        },
        "by id": {
            "email": "ada@example.com",
            "lines": [{"variant_id": 31, "quantity": 1}, {"variant_id": 32, "quantity": 3}],
        },
    },
    "Confirmation": {"a mail that was sent": _ORDER["confirmation"]},
    "Order": {"an order": _ORDER},
    "NewOrder": {"an order, just placed": {**_ORDER, "token": "0123456789abcdef" * 4}},
    "AdjustmentsInput": {
        "a delivery and a count": {
            "adjustments": [
                {"sku": "COF-CB-250-B", "delta": 24, "reason": "delivery 4711"},
                {"variant_id": 32, "set": 5, "expected": 6, "reason": "stocktaking"},
            ]
        }
    },
    "Adjusted": {
        "a delivery": {
            "variant_id": 31,
            "product_id": 17,
            "sku": "COF-CB-250-B",
            "delta": 24,
            "stock": 164,
        }
    },
    "StockMovement": {
        "two pieces sold": {
            "id": 90,
            "variant_id": 31,
            "product_id": 17,
            "sku": "COF-CB-250-B",
            "delta": -2,
            "stock_after": 138,
            "reason": "order",
            "reference": "0f8e7d6c5b4a39281706f5e4d3c2b1a0",
            "created_at": _TIME,
        }
    },
    "Key": {"a key for a shop front": _KEY},
    "KeyInput": {
        "a key for a shop front": {"name": "Shop front", "scopes": ["products:read"]},
        "one that ends": {
            "name": "Summer interns",
            "scopes": ["products:read", "jobs:read"],
            "expires_at": "2099-08-31T18:00:00+02:00",
        },
    },
    "NewKey": {"a key, this once": {**_KEY, "key": "pushcart_1f2e3d4c_" + "0123456789abcdef" * 4}},
    "JobError": {
        "a refused row": {
            "line": 12,
            "column": "price",
            "value": "13,00",
            "code": "not_a_number",
            "detail": "is not a plain decimal number such as 1250.00",
        }
    },
}
# The refused rows of an import, by the media type that the file has.
REPORTS = {
    "text/csv": "handle,name,price,_line,_error\r\nmug,Mug,free,7,price: is not a number\r\n",
    "application/x-ndjson": '{"name": "Mug", "price": "free", "_line": 7, "_error": "…"}\n',
}
FILE = "handle,name,price,stock\nflat-white,Flat White,3.50,12\n"


def example_of(shape: JSONObject, components: Mapping[str, JSONObject]) -> Any:
    """An example of the shape, made from those of the components that it consists of."""
    if name := shape.get("$ref", "").rpartition("/")[2]:
        own = EXAMPLES.get(name)
        return next(iter(own.values())) if own else example_of(components[name], components)
    if "anyOf" in shape:
        return example_of(shape["anyOf"][0], components)
    if known := shape.get("examples") or shape.get("enum"):
        return known[0]
    match shape.get("type", "object"):
        case "object":
            parts = shape.get("properties", {})
            return {name: example_of(part, components) for name, part in parts.items()}
        case "array":
            return [example_of(shape["items"], components)]
        case kind:
            return _SIMPLE.get(str(kind))  # null for what may be null


_SIMPLE = {"string": "…", "integer": 1, "number": 1.5, "boolean": True}
