"""Django REST framework: ModelSerializers, generic views, CursorPagination.

Served by gunicorn. As the deployment checklists have it: DEBUG off, JSON renderer only, database
connections that persist, `prefetch_related`. To its advantage there is no middleware and no
authentication.
"""

# Its packages are in an environment of their own, which mypy does not see.
# mypy: ignore-errors

import os
from urllib.parse import urlsplit

import django
from django.conf import settings

address = urlsplit(os.environ["DATABASE_URL"])
settings.configure(
    DEBUG=False,
    ALLOWED_HOSTS=["127.0.0.1"],
    SECRET_KEY="a-secret-for-the-bench-alone",  # noqa: S106  # guards nothing
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["rest_framework"],
    MIDDLEWARE=[],
    USE_TZ=True,
    TIME_ZONE="UTC",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": address.hostname,
            "PORT": address.port,
            "USER": address.username,
            "NAME": address.path[1:],
            "CONN_MAX_AGE": None,
        }
    },
    REST_FRAMEWORK={
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "UNAUTHENTICATED_USER": None,
    },
)
django.setup()

# What follows needs the settings.
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.db import models  # noqa: E402
from django.http import Http404, HttpRequest, HttpResponseBase  # noqa: E402
from django.urls import path  # noqa: E402
from django.utils.cache import get_conditional_response  # noqa: E402
from rest_framework import generics, pagination, serializers  # noqa: E402
from rest_framework.response import Response  # noqa: E402


class Product(models.Model):
    """What a shop sells."""

    id = models.BigAutoField(primary_key=True)
    handle = models.TextField()
    name = models.TextField()
    description = models.TextField(null=True)
    status = models.TextField()
    vendor = models.TextField(null=True)
    category = models.TextField(null=True)
    tags = models.JSONField()
    options = models.JSONField()
    images = models.JSONField()
    metadata = models.JSONField()
    version = models.BigIntegerField()
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        app_label = "shop"
        db_table = "products"
        managed = False


class Variant(models.Model):
    """One combination of a product's options."""

    id = models.BigAutoField(primary_key=True)
    product = models.ForeignKey(Product, models.CASCADE, related_name="variants")
    sku = models.TextField(null=True)
    options = models.JSONField()
    price = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    compare_at_price = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    barcode = models.TextField(null=True)
    weight_grams = models.FloatField(null=True)
    stock = models.BigIntegerField(null=True)
    backorder = models.BooleanField()

    class Meta:
        app_label = "shop"
        db_table = "variants"
        managed = False
        ordering = ("id",)


class VariantSerializer(serializers.ModelSerializer):
    """A variant as clients read it."""

    class Meta:
        model = Variant
        exclude = ("product",)


class ProductSerializer(serializers.ModelSerializer):
    """A product as clients read it."""

    variants = VariantSerializer(many=True)

    class Meta:
        model = Product
        exclude = ("deleted_at",)


class ById(pagination.CursorPagination):
    """The framework's keyset pages, in our envelope."""

    ordering = "id"
    page_size = 25
    page_size_query_param = "limit"
    max_page_size = 200

    def get_paginated_response(self, data: list[object]) -> Response:
        """A page of products, and where the next one is."""
        return Response({"data": data, "next": self.get_next_link()})


living = Product.objects.filter(deleted_at=None).prefetch_related("variants")


class Products(generics.ListAPIView):
    """A page of products, by id."""

    queryset = living
    serializer_class = ProductSerializer
    pagination_class = ById


class OneProduct(generics.RetrieveAPIView):
    """One product; a client that names its ETag is answered from the version alone."""

    queryset = living
    serializer_class = ProductSerializer

    def retrieve(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        """Answer 304 as Django's `condition` decorator does, asking only where it may apply."""
        if "If-None-Match" in request.headers:
            versions = Product.objects.filter(deleted_at=None, pk=self.kwargs["pk"])
            version = versions.values_list("version", flat=True).first()
            if version is None:
                raise Http404
            known = get_conditional_response(request, etag=f'"{version}"')
            if known is not None:
                return known
        product = self.get_object()
        etag = f'"{product.version}"'
        return Response(self.get_serializer(product).data, headers={"ETag": etag})


urlpatterns = [
    path("products", Products.as_view()),
    path("products/<int:pk>", OneProduct.as_view()),
]
application = WSGIHandler()
